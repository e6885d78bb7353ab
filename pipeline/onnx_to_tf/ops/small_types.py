"""Types of 8 and 4 bits, which TensorFlow stores and for the most part does not compute with."""

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2

from pipeline.onnx_to_tf.node import Node

__all__ = ["from_small", "is_small", "to_small"]

_FLOATS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float4_e2m1fn")
_INTEGERS = ("int4", "uint4")
_CAST = ("float8_e4m3fn", "float8_e5m2")
"""The floating types that TensorFlow has a cast for."""

_SIGN, _NAN_OF_FNUZ = 0x80, 0x80
_SIGN_OF_4_BITS = 0x8


def is_small(dtype: tf.DType) -> bool:
    """Whether a type is one of those."""
    return str(dtype.name) in (*_FLOATS, *_INTEGERS)


def from_small(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The values, as float32 or, of whole numbers, int32."""
    if x.dtype.name in _INTEGERS:
        return tf.cast(x, tf.int32)
    if x.dtype.name in _CAST:
        return tf.cast(x, tf.float32)
    known = node.static(x)
    if known is not None:
        return tf.constant(known.astype(np.float32))
    size = 1 << (4 if x.dtype.name.startswith("float4") else 8)
    table = np.arange(size, dtype=np.uint8).view(x.dtype.as_numpy_dtype).astype(np.float32)
    return tf.gather(tf.constant(table), tf.cast(_codes_of(x), tf.int32))


def _codes_of(x: tf.Tensor) -> tf.Tensor:
    """The bytes of a tensor, uint8, of a type that no kernel reads, but the one that serializes variants.

    A serialized variant ends in the content of its last tensor, as it lies in memory: a byte for each value, also of
    4 bits (tensorflow/core/framework: VariantTensorDataProto, TensorProto, whose fields are written in order).
    """
    variant = tf.raw_ops.CompositeTensorVariantFromComponents(components=[x], metadata=b"")
    serialized = tf.io.serialize_tensor(variant)
    size = tf.size(x)
    content = tf.strings.substr(serialized, tf.strings.length(serialized) - size, size)
    codes = tf.reshape(tf.io.decode_raw(content, tf.uint8), tf.shape(x))
    codes.set_shape(x.shape)
    return codes


def to_small(x: tf.Tensor, dtype: tf.DType, *, is_saturated: bool) -> tf.Tensor:
    """Values as the small type: of floating ones the nearest, halves to the even code; NaN where none is near.

    Args:
        x: float32; for a type of whole numbers whole and in its range.
        dtype: the type wanted.
        is_saturated: what is too large becomes the largest value, instead of infinity or NaN.
    """
    if dtype.name in _INTEGERS:
        return tf.cast(tf.cast(x, tf.int32), dtype)
    if dtype.name in _CAST:
        if is_saturated:
            largest = float(_values(dtype.name)[-1])
            x = tf.clip_by_value(x, -largest, largest)
        return tf.cast(x, dtype)
    return _from_codes(_codes(x, dtype, is_saturated), dtype)


@cache
def _values(name: str) -> NDArray[Any]:
    """Every finite value from 0 up, by its code."""
    dtype = tf.as_dtype(name).as_numpy_dtype
    codes = np.arange(_SIGN_OF_4_BITS if name.startswith("float4") else _SIGN, dtype=np.uint8)
    values = codes.view(dtype).astype(np.float32)
    finite: NDArray[Any] = values[np.isfinite(values)]
    return finite


def _codes(x: tf.Tensor, dtype: tf.DType, is_saturated: bool) -> tf.Tensor:
    """The code of each value, uint8: by where it falls between the middles of neighbours."""
    values = _values(dtype.name)
    middles = tf.constant((values[1:] + values[:-1]) / 2)
    size = tf.reshape(tf.abs(x), [-1])
    below = tf.searchsorted(middles, size, side="left")
    above = tf.searchsorted(middles, size, side="right")
    code = tf.where(tf.equal(below % 2, 0), below, above)
    is_negative = tf.less(tf.reshape(x, [-1]), 0)
    is_nan = tf.not_equal(size, size)
    if dtype.name.startswith("float4"):
        # It has a negative zero and no NaN, which becomes the largest value: onnx's own cast does so.
        signs = tf.bitcast(tf.reshape(x, [-1]), tf.int32)
        code += tf.where(tf.less(signs, 0), _SIGN_OF_4_BITS, 0)
        code = tf.where(is_nan, len(values) - 1, code)
    else:
        if not is_saturated:
            step = float(values[-1] - values[-2])
            is_nan = tf.logical_or(is_nan, tf.greater_equal(size, float(values[-1]) + step / 2))
        # Zero has one code: that of a negative zero is NaN.
        code += tf.where(tf.logical_and(is_negative, tf.greater(code, 0)), _SIGN, 0)
        code = tf.where(is_nan, _NAN_OF_FNUZ, code)
    return tf.reshape(tf.cast(code, tf.uint8), tf.shape(x))


def _from_codes(codes: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Codes as values of a type that no kernel makes, but the one that parses a serialized tensor."""
    size = tf.size(codes)
    characters = tf.constant(np.array([bytes([code]) for code in range(256)], object))
    content = tf.strings.reduce_join(tf.gather(characters, tf.reshape(tf.cast(codes, tf.int32), [-1])))
    length = tf.strings.reduce_join(tf.gather(characters, _varint(size)))
    message = tensor_pb2.TensorProto
    dimension = _key(message, "tensor_shape") + b"\x08" + b"\x12\x06" + b"\x08"
    header = message(dtype=dtype.as_datatype_enum).SerializeToString()
    serialized = tf.strings.join([header, dimension, length, _key(message, "tensor_content"), length, content])
    parsed = tf.reshape(tf.io.parse_tensor(serialized, dtype), tf.shape(codes))
    parsed.set_shape(codes.shape)
    return parsed


def _key(message: type[tensor_pb2.TensorProto], name: str) -> bytes:
    """What stands before a field that has a length (protobuf's encoding: the number, and wire type 2)."""
    return bytes([message.DESCRIPTOR.fields_by_name[name].number << 3 | 2])


def _varint(value: tf.Tensor) -> tf.Tensor:
    """A number below 2**31 as protobuf writes it, in five bytes whatever its size."""
    sevens = tf.bitwise.bitwise_and(tf.bitwise.right_shift(value, tf.constant([0, 7, 14, 21, 28])), 0x7F)
    return sevens + tf.constant([0x80, 0x80, 0x80, 0x80, 0])
