"""Element types: ONNX's and TensorFlow's."""

import onnx_ir as ir
import tensorflow as tf

from contract.errors import ConversionError

__all__ = ["tensorflow_dtype"]


def tensorflow_dtype(dtype: ir.DataType) -> tf.DType:
    """TensorFlow's type for one of ONNX.

    Raises:
        ConversionError: TensorFlow has none, as for ``float8_e8m0``.
    """
    if dtype == ir.DataType.STRING:
        return tf.string
    try:
        return tf.as_dtype(dtype.numpy())
    except TypeError as err:
        raise ConversionError(f"TensorFlow has no type like ONNX's {dtype.name.lower()}") from err
