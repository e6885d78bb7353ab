"""The ``models.config`` that TF Serving's ``--model_config_file`` takes. Standard library only."""

import json
from collections.abc import Sequence
from pathlib import Path

from contract.files import write_text
from pipeline.stage import Result

__all__ = ["models_config", "write_models_config"]

_CONTAINER_BASE = "/models"
"""Where the official image of TF Serving has its models."""


def models_config(servables: Sequence[str], base: str) -> str:
    """A ModelServerConfig in protobuf's text format; TF Serving takes absolute base paths only.

    Args:
        servables: names to serve; each has its versions in ``<base>/<name>``.
        base: absolute path.
    """
    entries = "".join(
        "  config {\n"
        f"    name: {json.dumps(name, ensure_ascii=False)}\n"
        f"    base_path: {json.dumps(f'{base}/{name}', ensure_ascii=False)}\n"
        '    model_platform: "tensorflow"\n'
        "  }\n"
        for name in servables
    )
    return f"model_config_list {{\n{entries}}}\n"


def write_models_config(*, out: Path, build: Path, servables: Sequence[str], base: str) -> Result:
    """Writes ``serving/models.config`` for this folder and ``serving/models.container.config`` for the container.

    Args:
        out: stays empty.
        build: the build folder.
        servables: names to serve.
        base: absolute path of ``serving/``; an argument, so that a build folder that was moved gets a new file.
    """
    write_text(build / "serving" / "models.config", models_config(servables, base))
    write_text(build / "serving" / "models.container.config", models_config(servables, _CONTAINER_BASE))
    return {"published": ["serving/models.config", "serving/models.container.config"]}
