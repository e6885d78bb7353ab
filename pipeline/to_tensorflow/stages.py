"""The stage that turns the ONNX file into a SavedModel."""

import shutil
from pathlib import Path

from onnx import load

from contract.errors import ConversionError
from contract.files import write_json
from pipeline.refusal import REFUSED
from pipeline.stage import Result
from pipeline.to_tensorflow.converter import load_converter

__all__ = ["convert"]


def convert(*, out: Path, onnx: Path, converter: str, is_optional: bool = False) -> Result:
    """Writes ``saved_model/`` by the converter of that name.

    Args:
        out: folder to write into.
        onnx: folder with ``model.onnx`` and its external data.
        converter: name of a converter.
        is_optional: another converter is tried as well, so that a failure is written down instead of raised.

    Raises:
        ConversionError: the converter cannot convert the file.
    """
    try:
        load_converter(converter)(load(onnx / "model.onnx"), out / "saved_model")
    except ConversionError as err:
        if not is_optional:
            raise
        shutil.rmtree(out / "saved_model", ignore_errors=True)
        write_json(out / REFUSED, {"by": converter, "reason": str(err)})
        return {"note": f"{converter} refused"}
    # TensorFlow writes a random id into it: what is made from this folder would be made again for nothing.
    (out / "saved_model" / "fingerprint.pb").unlink(missing_ok=True)
    return {}
