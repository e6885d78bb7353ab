"""Truth values, comparisons, and bits."""

from collections.abc import Callable

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.broadcasting import aligned
from pipeline.onnx_to_tf.ops.elementary import is_infinite
from pipeline.onnx_to_tf.ops.widening import wide, widened
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Logic")


@ops.register("And", 1, 7)
def and_(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether both are true."""
    return tf.logical_and(a, aligned(node, a, b))


@ops.register("Or", 1, 7)
def or_(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether one is true, or both."""
    return tf.logical_or(a, aligned(node, a, b))


@ops.register("Xor", 1, 7)
def xor(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether one alone is true."""
    return tf.not_equal(a, aligned(node, a, b))


@ops.register("Not", 1)
def not_(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Whether it is false."""
    return tf.logical_not(x)


@ops.register("Equal", 1, 7, 11, 13, 19)
def equal(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether both are the same; strings too. NaN equals nothing."""
    return tf.equal(wide(a), wide(aligned(node, a, b)))


@ops.register("Greater", 1, 7, 9, 13)
def greater(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether the first is greater."""
    return _compared(tf.greater, node, a, b)


@ops.register("Less", 1, 7, 9, 13)
def less(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether the first is less."""
    return _compared(tf.less, node, a, b)


@ops.register("GreaterOrEqual", 12, 16)
def greater_or_equal(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether the first is greater, or both are the same."""
    return _compared(tf.greater_equal, node, a, b)


@ops.register("LessOrEqual", 12, 16)
def less_or_equal(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Whether the first is less, or both are the same."""
    return _compared(tf.less_equal, node, a, b)


def _compared(
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], node: Node, a: tf.Tensor, b: tf.Tensor
) -> tf.Tensor:
    return function(wide(a), wide(aligned(node, a, b)))


@ops.register("Where", 9, 16)
def where(node: Node, condition: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The first where the condition is true, else the second."""
    return tf.where(condition, a, b)


@ops.register("IsNaN", 9, 13, 20)
def is_nan(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Whether it is no number."""
    x = _as_float(x)
    return tf.not_equal(x, x)


@ops.register("IsInf", 10, 20)
def is_inf(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Whether it is infinite, of the signs that the node asks for."""
    x = _as_float(x)
    positive, negative = (bool(node.integer(f"detect_{sign}", 1)) for sign in ("positive", "negative"))
    if not positive and not negative:
        return tf.zeros_like(x, tf.bool)
    return is_infinite(x, positive=positive, negative=negative)


def _as_float(x: tf.Tensor) -> tf.Tensor:
    """Half precision and the types of 8 bits as float32, which has all of their values."""
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


@ops.register("BitwiseAnd", 18)
def bitwise_and(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The bits that both have."""
    return widened(_common_bits, a, b) if _is_narrow(a) else tf.bitwise.bitwise_and(a, b)


@ops.register("BitwiseOr", 18)
def bitwise_or(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The bits that one has, or both."""
    if not _is_narrow(a):
        return tf.bitwise.bitwise_or(a, b)
    return widened(lambda v, w: tf.bitwise.bitwise_xor(v, w) + _common_bits(v, w), a, b)


@ops.register("BitwiseXor", 18)
def bitwise_xor(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The bits that one alone has."""
    return widened(tf.bitwise.bitwise_xor, a, b) if _is_narrow(a) else tf.bitwise.bitwise_xor(a, b)


def _is_narrow(x: tf.Tensor) -> bool:
    """Whether int32 has all of its values: TFLite has kernels for the bits of no wider type."""
    return bool(wide(x).dtype == tf.int32)


def _common_bits(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The bits that two int32 both have, from those in which they differ: a + b = (a xor b) + 2 (a and b).

    TFLite has no kernel for it. Without their last bits the sum does not leave int32.
    """
    one = tf.ones([], tf.int32)
    upper_a, upper_b = tf.bitwise.right_shift(a, one), tf.bitwise.right_shift(b, one)
    upper = tf.bitwise.right_shift(upper_a + upper_b - tf.bitwise.bitwise_xor(upper_a, upper_b), one)
    return 2 * upper + (a - 2 * upper_a) * (b - 2 * upper_b)


@ops.register("BitwiseNot", 18)
def bitwise_not(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The bits that it has not."""
    if x.dtype in (tf.uint32, tf.uint64):
        return tf.bitwise.invert(x)
    return widened(lambda value: (x.dtype.max if x.dtype.is_unsigned else -1) - value, x)
