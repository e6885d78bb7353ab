"""The models, one folder each; `load_spec` finds one by its folder's name."""

import importlib
from pathlib import Path

from contract.errors import UsageError
from contract.hints import hint
from contract.model_spec import ModelSpec

__all__ = ["load_spec", "model_names"]


def model_names() -> list[str]:
    """Every folder beside this file that holds a ``spec.py``."""
    return sorted(spec.parent.name for spec in Path(__file__).parent.glob("*/spec.py"))


def load_spec(name: str) -> ModelSpec:
    """The spec of a model.

    Raises:
        UsageError: there is no such model; names the nearest.
    """
    known = model_names()
    if name not in known:
        raise UsageError(f"no model {name!r} in models/; {hint(name, known)}")
    spec: ModelSpec = importlib.import_module(f"models.{name}.spec").SPEC
    return spec
