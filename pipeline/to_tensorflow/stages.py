"""The stage that turns the ONNX file into a SavedModel."""

from pathlib import Path

from onnx import load

from pipeline.to_tensorflow.converter import load_converter

__all__ = ["convert"]


def convert(*, out: Path, onnx: Path, converter: str) -> None:
    """Writes ``saved_model/`` by the converter of that name.

    Args:
        out: folder to write into.
        onnx: folder with ``model.onnx`` and its external data.
        converter: name of a converter.

    Raises:
        ConversionError: the converter cannot convert the file.
    """
    load_converter(converter)(load(onnx / "model.onnx"), out / "saved_model")
    # TensorFlow writes a random id into it: what is made from this folder would be made again for nothing.
    (out / "saved_model" / "fingerprint.pb").unlink(missing_ok=True)
