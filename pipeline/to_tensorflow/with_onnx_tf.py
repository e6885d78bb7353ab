"""onnx-tf, the archived converter of the ONNX project."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NoReturn
from unittest import SkipTest

import onnx

from contract.errors import ConversionError

__all__ = ["convert"]

_ABSENT = (
    ("tensorflow_addons", "seq2seq", "hardmax"),
    ("tensorflow_probability", "distributions", "Bernoulli"),
)


def convert(model: onnx.ModelProto, folder: Path) -> None:
    """See `pipeline.to_tensorflow.converter.Converter`."""
    with _absent_packages():
        from onnx_tf.backend import prepare

        try:
            prepare(model, device="CPU").export_graph(str(folder))
        except (SkipTest, RuntimeError, ValueError, TypeError, KeyError) as err:
            # What onnx-tf raises for an operator, an opset or a shape that it does not know.
            first_line = str(err).strip().partition("\n")[0]
            raise ConversionError(f"onnx-tf cannot convert the file: {type(err).__name__}: {first_line}") from err


@contextmanager
def _absent_packages() -> Iterator[None]:
    """Stands in for two packages that onnx-tf 1.10.0 imports and that no longer exist for this TensorFlow.

    It takes one name from each, for the operators Hardmax and Bernoulli. With an onnx-tf that imports neither, this can
    go: tests/pipeline/to_tensorflow/test_with_onnx_tf.py fails then.
    """
    for package, attribute, name in _ABSENT:
        part = ModuleType(f"{package}.{attribute}")
        setattr(part, name, _unavailable)
        sys.modules[package] = ModuleType(package)
        setattr(sys.modules[package], attribute, part)
    try:
        yield
    finally:
        for package, _, _ in _ABSENT:
            del sys.modules[package]


def _unavailable(*args: object, **kwargs: object) -> NoReturn:
    raise ConversionError("onnx-tf needs tensorflow-addons or tensorflow-probability for this operator; neither exists")
