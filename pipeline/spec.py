"""The spec of a model as a file, which every stage reads: written from a folder of models/, or read out of a file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.files import write_json
from contract.model_spec import ModelSpec

__all__ = ["read_spec", "write_spec"]


def write_spec(*, out: Path, spec: Mapping[str, Any]) -> None:
    """Writes ``spec.json``.

    Args:
        out: folder to write into.
        spec: a `ModelSpec` as a JSON object.
    """
    write_json(out / "spec.json", spec)


def read_spec(path: Path) -> ModelSpec:
    """Reads what `write_spec` wrote.

    Raises:
        SpecError: not JSON, or not a spec.
    """
    try:
        return ModelSpec.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as err:
        raise SpecError(f"{path}: {err}") from err
