"""Quantizes an exported network by ONNX Runtime's own tools; run as a process."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

__all__ = ["VARIANTS", "quantize"]

VARIANTS = ("dynamic", "static")
"""Of ``quantize_dynamic``, and of ``quantize_static`` with QuantizeLinear and DequantizeLinear around each node."""


class _Calls(CalibrationDataReader):
    """The network's own calls, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._calls: Iterator[dict[str, Any]] = (dict(np.load(path)) for path in sorted(folder.glob("call_*.npz")))

    def get_next(self) -> dict[str, Any] | None:
        """The inputs of a call, or None at the end."""
        return next(self._calls, None)


def quantize(folder: Path, variant: str) -> Path:
    """Writes ``model.<variant>.onnx`` beside ``model.onnx``; gives its path."""
    prepared, target = folder / "prepared.onnx", folder / f"model.{variant}.onnx"
    quant_pre_process(str(folder / "model.onnx"), str(prepared), skip_symbolic_shape=True)
    if variant == "dynamic":
        quantize_dynamic(prepared, target)
    else:
        quantize_static(prepared, target, _Calls(folder), quant_format=QuantFormat.QDQ, per_channel=True)
    prepared.unlink()
    return target


if __name__ == "__main__":
    quantize(Path(sys.argv[1]), sys.argv[2])
