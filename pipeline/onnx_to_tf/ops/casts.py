"""From one type to another."""

import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.small_types import from_small, is_small, to_small
from pipeline.onnx_to_tf.registry import Family

__all__ = ["cast_to", "ops"]

ops = Family("Casts")

_DIGITS = {tf.float16: (5,), tf.bfloat16: (4,), tf.float32: (6, 7, 8, 9), tf.float64: (15, 16, 17)}
"""Significant digits: from those that each number keeps to those that keep each number apart (IEEE 754)."""


@ops.register("Cast", 6, 9, 13, 19, 21, 23)
def cast(node: Node, x: tf.Tensor) -> tf.Tensor:
    """To the type that ``to`` names."""
    return cast_to(node, x, tensorflow_dtype(ir.DataType(node.integer("to"))))


@ops.register("CastLike", 15, 19, 21, 23)
def cast_like(node: Node, x: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """To the type of the second input."""
    return cast_to(node, x, target.dtype)


def cast_to(node: Node, x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """X in another type: whole numbers that leave it wrap around, reals lose their fraction.

    Raises:
        UnsupportedOpError: there is no such cast here.
    """
    if x.dtype == dtype:
        return x
    if x.dtype == tf.string:
        return _from_text(node, x, dtype)
    if is_small(x.dtype):
        x = from_small(node, x)
    if dtype == tf.string:
        return _to_text(node, x)
    if not is_small(dtype):
        return tf.cast(x, dtype)
    if str(dtype.name).endswith("int4"):
        if x.dtype.is_floating:
            low, high = (-8, 7) if dtype.name == "int4" else (0, 15)
            whole = tf.cast(tf.clip_by_value(tf.round(tf.cast(x, tf.float32)), low, high), tf.int32)
        else:
            whole = _low_bits(tf.cast(x, tf.int32), is_signed=dtype.name == "int4")
        return to_small(whole, dtype, is_saturated=False)
    return to_small(tf.cast(x, tf.float32), dtype, is_saturated=bool(node.integer("saturate", 1)))


def _low_bits(x: tf.Tensor, *, is_signed: bool) -> tf.Tensor:
    low = tf.bitwise.bitwise_and(x, 0xF)
    return tf.where(tf.greater(low, 7), low - 16, low) if is_signed else low


def _from_text(node: Node, x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    if dtype == tf.bool or is_small(dtype):
        raise node.unsupported(f"it makes {dtype.name} of strings; cast to a number first")
    via = tf.float64 if dtype == tf.float64 else tf.int64 if dtype.is_integer else tf.float32
    return tf.cast(tf.strings.to_number(x, via), dtype)


def _to_text(node: Node, x: tf.Tensor) -> tf.Tensor:
    """A number in as few digits as give it again; NaN, INF and -INF as ONNX writes them."""
    if x.dtype == tf.bool:
        raise node.unsupported("it makes strings of truth values; cast to a number first")
    if x.dtype not in _DIGITS:
        return tf.strings.as_string(x)
    text = None
    real = x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)
    for digits in reversed(_DIGITS[x.dtype]):
        shorter = tf.strings.as_string(real, precision=digits, shortest=True)
        is_same = tf.equal(tf.strings.to_number(shorter, real.dtype), real)
        text = shorter if text is None else tf.where(is_same, shorter, text)
    text = tf.where(tf.not_equal(real, real), "NaN", text)
    infinity = tf.constant(float("inf"), real.dtype)
    return tf.where(tf.equal(real, infinity), "INF", tf.where(tf.equal(real, -infinity), "-INF", text))
