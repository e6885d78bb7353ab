"""Our own converter, for the chain: which verifies what comes out by the model's own probes."""

from pathlib import Path

import onnx

from pipeline.onnx_to_tf import save, to_module

__all__ = ["convert"]


def convert(model: onnx.ModelProto, folder: Path) -> None:
    """See `pipeline.to_tensorflow.converter.Converter`."""
    save(to_module(model), folder)
