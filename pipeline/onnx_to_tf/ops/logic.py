"""Truth values, comparisons, and bits."""

from collections.abc import Callable

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.broadcasting import aligned
from pipeline.onnx_to_tf.ops.widening import wide
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
    signs = [sign for name, sign in (("positive", 1), ("negative", -1)) if node.integer(f"detect_{name}", 1)]
    if not signs:
        return tf.zeros_like(x, tf.bool)
    value = tf.abs(x) if len(signs) == 2 else x * signs[0]
    return tf.equal(value, tf.constant(float("inf"), x.dtype))


def _as_float(x: tf.Tensor) -> tf.Tensor:
    """Half precision and the types of 8 bits as float32, which has all of their values."""
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


@ops.register("BitwiseAnd", 18)
def bitwise_and(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The bits that both have."""
    return tf.bitwise.bitwise_and(a, b)


@ops.register("BitwiseOr", 18)
def bitwise_or(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The bits that one has, or both."""
    return tf.bitwise.bitwise_or(a, b)


@ops.register("BitwiseXor", 18)
def bitwise_xor(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The bits that one alone has."""
    return tf.bitwise.bitwise_xor(a, b)


@ops.register("BitwiseNot", 18)
def bitwise_not(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The bits that it has not."""
    return tf.bitwise.invert(x)
