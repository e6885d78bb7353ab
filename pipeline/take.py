"""A model file that somebody else made, as the chain works on it: a copy, which nobody edits meanwhile."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from contract.files import write_json

__all__ = ["take"]


def take(*, out: Path, file: Path, external: Sequence[str] = (), opset: int | None = None) -> None:
    """Copies the file as ``model.onnx``, ``model.keras`` or ``model.pt2``, and what lies beside it.

    Args:
        out: folder to write into.
        file: the file.
        external: files with its weights, relative to its folder and inside it.
        opset: of an .onnx file; goes into ``onnx.json``.
    """
    shutil.copyfile(file, out / f"model{file.suffix.lower()}")
    for location in external:
        (out / location).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.parent / location, out / location)
    if opset is not None:
        write_json(out / "onnx.json", {"opset": opset})
