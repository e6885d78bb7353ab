"""Addition and its kin, elementwise with NumPy's broadcasting."""

from collections.abc import Callable
from functools import reduce

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.broadcasting import aligned
from pipeline.onnx_to_tf.ops.widening import via, wide, widened
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Arithmetic")


@ops.register("Add", 1, 6, 7, 13, 14)
def add(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The sum."""
    return widened(tf.add, a, aligned(node, a, b))


@ops.register("Sub", 1, 6, 7, 13, 14)
def sub(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The difference."""
    return widened(tf.subtract, a, aligned(node, a, b))


@ops.register("Mul", 1, 6, 7, 13, 14)
def mul(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The product."""
    return widened(tf.multiply, a, aligned(node, a, b))


@ops.register("Div", 1, 6, 7, 13, 14)
def div(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The quotient; of whole numbers towards zero, as in C."""
    b = aligned(node, a, b)
    if a.dtype.is_floating:
        return widened(tf.divide, a, b)
    if a.dtype.is_unsigned:
        return widened(tf.math.floordiv, a, b)
    return widened(_truncated_quotient, a, b)


def _truncated_quotient(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """From the quotient towards minus infinity, which TFLite has."""
    quotient = tf.math.floordiv(a, b)
    has_rest = tf.not_equal(quotient * b, a)
    is_negative = tf.not_equal(tf.less(a, 0), tf.less(b, 0))
    return quotient + tf.cast(tf.logical_and(has_rest, is_negative), a.dtype)


@ops.register("Mod", 10, 13)
def mod(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The rest; ``fmod`` 0: with the divisor's sign, 1: with the dividend's, as in C."""
    return widened(_rest_like_dividend if node.integer("fmod", 0) else tf.math.floormod, a, b)


def _rest_like_dividend(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    if a.dtype.is_unsigned:
        return tf.math.floormod(a, b)
    rest = tf.math.floormod(tf.abs(a), tf.abs(b))
    return tf.where(tf.less(a, 0), -rest, rest)


@ops.register("Pow", 1, 7, 12, 13, 15)
def pow_(node: Node, base: tf.Tensor, exponent: tf.Tensor) -> tf.Tensor:
    """The power, in the type of the base; the exponent may have another."""
    exponent = aligned(node, base, exponent)
    known = node.static(exponent)
    if known is not None and known.size == 1 and known.ravel()[0] == 2 and known.ndim <= (base.shape.rank or 0):
        return widened(tf.square, base)
    if exponent.dtype.is_floating and not base.dtype.is_floating:
        return via(tf.float64, tf.pow, base, exponent)
    left = wide(base)
    return tf.cast(tf.pow(left, tf.cast(exponent, left.dtype)), base.dtype)


@ops.register("Neg", 1, 6, 13)
def neg(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The negative."""
    return widened(tf.negative, x)


@ops.register("Abs", 1, 6, 13)
def abs_(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The absolute value."""
    return x if x.dtype.is_unsigned else widened(tf.abs, x)


@ops.register("Sign", 9, 13)
def sign(node: Node, x: tf.Tensor) -> tf.Tensor:
    """-1, 0 or 1."""
    if x.dtype.is_unsigned:
        return tf.cast(tf.not_equal(x, tf.zeros([], x.dtype)), x.dtype)
    return widened(tf.sign, x)


@ops.register("Reciprocal", 1, 6, 13)
def reciprocal(node: Node, x: tf.Tensor) -> tf.Tensor:
    """One by x."""
    return widened(lambda value: tf.divide(tf.ones([], value.dtype), value), x)


@ops.register("Sqrt", 1, 6, 13)
def sqrt(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The square root."""
    return widened(tf.sqrt, x)


@ops.register("Exp", 1, 6, 13)
def exp(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The exponential."""
    return widened(tf.exp, x)


@ops.register("Log", 1, 6, 13)
def log(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The natural logarithm."""
    return widened(tf.math.log, x)


@ops.register("Floor", 1, 6, 13)
def floor(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The whole number below."""
    return widened(tf.floor, x)


@ops.register("Ceil", 1, 6, 13)
def ceil(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The whole number above."""
    return widened(tf.math.ceil, x)


@ops.register("Round", 11, 22)
def round_(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The nearest whole number; halves go to the even one."""
    return widened(tf.round, x)


@ops.register("Min", 1, 6, 8, 12, 13)
def min_(node: Node, *tensors: tf.Tensor) -> tf.Tensor:
    """The least of all tensors; NaN wins."""
    return _joined(tf.minimum, tensors)


@ops.register("Max", 1, 6, 8, 12, 13)
def max_(node: Node, *tensors: tf.Tensor) -> tf.Tensor:
    """The greatest of all tensors; NaN wins."""
    return _joined(tf.maximum, tensors)


@ops.register("Sum", 1, 6, 8, 13)
def sum_(node: Node, *tensors: tf.Tensor) -> tf.Tensor:
    """The sum of all tensors."""
    return _joined(tf.add, tensors)


@ops.register("Mean", 1, 6, 8, 13)
def mean(node: Node, *tensors: tf.Tensor) -> tf.Tensor:
    """The mean of all tensors."""
    total = _joined(tf.add, tensors)
    return widened(lambda value: value / tf.constant(len(tensors), value.dtype), total)


def _joined(function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], tensors: tuple[tf.Tensor, ...]) -> tf.Tensor:
    return widened(lambda *values: reduce(function, values), *tensors)


@ops.register("Clip", 1, 6)
def clip_by_attributes(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Between two attributes, each of which may be missing."""
    low = node.number("min") if node.has("min") else None
    high = node.number("max") if node.has("max") else None
    return _clipped(x, low, high)


@ops.register("Clip", 11, 12, 13)
def clip(node: Node, x: tf.Tensor, low: tf.Tensor | None = None, high: tf.Tensor | None = None) -> tf.Tensor:
    """Between two inputs, each of which may be missing; where they cross, the greater one holds for all."""
    least, most = node.static(low), node.static(high)
    if (low is None or least is not None) and (high is None or most is not None):
        return _clipped(x, None if least is None else least.item(), None if most is None else most.item())
    if low is not None:
        x = widened(tf.maximum, x, low)
    return x if high is None else widened(tf.minimum, x, high)


def _clipped(x: tf.Tensor, low: float | None, high: float | None) -> tf.Tensor:
    """By known bounds: TFLite has kernels for 0 to 6 and for 0 to infinity, and merges them into what is before."""
    if x.dtype.is_floating and low == 0 and (high is None or high == np.inf):
        return widened(tf.nn.relu, x)
    if x.dtype.is_floating and low == 0 and high == 6:
        return widened(tf.nn.relu6, x)

    def clipped(value: tf.Tensor) -> tf.Tensor:
        if low is not None:
            value = tf.maximum(value, tf.constant(low, value.dtype))
        return value if high is None else tf.minimum(value, tf.constant(high, value.dtype))

    return widened(clipped, x)


@ops.register("BitShift", 11)
def bit_shift(node: Node, x: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Bits moved to the left or to the right."""
    is_left = node.text("direction") == "LEFT"
    return (tf.bitwise.left_shift if is_left else tf.bitwise.right_shift)(x, places)
