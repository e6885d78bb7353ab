"""A SavedModel to a TFLite file of built-in operators alone."""

import re
from pathlib import Path

import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from contract.errors import ConversionError
from runtimes.quiet import silent_stderr

__all__ = ["write_tflite"]

_LONGEST_REASON = 500


def write_tflite(folder: Path, file: Path) -> None:
    """Writes the .tflite file of a SavedModel: float32 as it is, nothing quantized.

    Raises:
        ConversionError: TFLite's built-in operators do not cover the model; names those of TensorFlow that are in the
            way, each of which would need Flex.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        with silent_stderr():
            content = converter.convert()
    except (ConverterError, ValueError, RuntimeError) as err:
        raise ConversionError(f"TFLite has no file for this model: {_reason(err)}") from err
    file.write_bytes(content)


def _reason(err: Exception) -> str:
    """The operators that are in the way, which the converter lists at the end of its report; else how that begins."""
    operators = re.findall(r"^(?:Custom|Flex) ops: (.+)$", str(err), re.MULTILINE)
    if operators:
        return (
            f"no built-in operator for {', '.join(operators)}, which would need Flex; static shapes (--static) or "
            "another form of the node may do without"
        )
    return " ".join(str(err).split())[:_LONGEST_REASON]
