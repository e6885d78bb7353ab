"""What a converter is, and which there are. Standard library only: the chain is planned by it."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import onnx

__all__ = ["CONVERTERS", "NEWEST_OPSETS", "Converter", "load_converter"]


class Converter(Protocol):
    """Turns an ONNX model into a SavedModel."""

    def __call__(self, model: "onnx.ModelProto", folder: Path) -> None:
        """Writes a SavedModel with the signature ``serving_default``; names and dynamic axes are the ONNX model's.

        The model is the converter's own: it may change it.

        Raises:
            ConversionError: the model cannot be converted; says what stands in the way.
        """


CONVERTERS = {"showdown": "pipeline.to_tensorflow.with_showdown", "onnx-tf": "pipeline.to_tensorflow.with_onnx_tf"}
"""Module of each converter by the name it is chosen by; the module has the function ``convert``."""


NEWEST_OPSETS = {"showdown": 20, "onnx-tf": 18}
"""The newest opset that each converter knows well: what PyTorch networks are exported in, unless another is wished."""


def load_converter(name: str) -> Converter:
    """The converter of that name; KeyError if there is none."""
    converter: Converter = importlib.import_module(CONVERTERS[name]).convert
    return converter
