"""onnx-tf, the archived converter of the ONNX project."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NoReturn
from unittest import SkipTest

import onnx
from onnx.checker import ValidationError

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
        except (SkipTest, RuntimeError, ValueError, TypeError, KeyError, ValidationError, ConversionError) as err:
            # What onnx-tf raises for an operator, an opset or a shape that it does not know.
            raise ConversionError(f"onnx-tf cannot convert the file: {_reason(err)}") from err


def _reason(err: BaseException) -> str:
    """One line; AutoGraph puts the stack of what it traced before an error's own words."""
    text = str(err).strip()
    if text.startswith("in user code:"):
        return text.splitlines()[-1].strip()
    return f"{type(err).__name__}: {text.partition(chr(10))[0]}"


@contextmanager
def _absent_packages() -> Iterator[None]:
    """Stands in for two packages that onnx-tf 1.10.0 imports and that no longer exist for this TensorFlow.

    It takes one name from each, for the operators Hardmax and Bernoulli. With an onnx-tf that imports neither, this can
    go: tests/pipeline/to_tensorflow/test_with_onnx_tf.py fails then.
    """
    for package, attribute, name in _ABSENT:
        part = ModuleType(f"{package}.{attribute}")
        setattr(part, name, partial(_unavailable, f"{package}.{attribute}.{name}"))
        sys.modules[package] = ModuleType(package)
        setattr(sys.modules[package], attribute, part)
    try:
        yield
    finally:
        for package, _, _ in _ABSENT:
            del sys.modules[package]


def _unavailable(needed: str, *args: object, **kwargs: object) -> NoReturn:
    raise ConversionError(f"onnx-tf needs {needed}, which no longer exists for this TensorFlow")
