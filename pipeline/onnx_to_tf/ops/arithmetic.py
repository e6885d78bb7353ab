"""Addition and its kin, elementwise with NumPy's broadcasting."""

from collections.abc import Callable
from functools import reduce

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.broadcasting import aligned
from pipeline.onnx_to_tf.ops.elementary import absolute, floor_quotient, whole_power
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
    b = aligned(node, a, b)
    if a.dtype.is_floating and node.static(a) is not None:
        # TFLite's converter (2.21) moves a transposition from behind b over the difference, and swaps the two.
        return widened(lambda left, right: -right + left, a, b)
    return widened(tf.subtract, a, b)


@ops.register("Mul", 1, 6, 7, 13, 14)
def mul(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The product."""
    return widened(tf.multiply, a, aligned(node, a, b))


@ops.register("Div", 1, 6, 7, 13, 14)
def div(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The quotient; of whole numbers towards zero, as in C."""
    b = aligned(node, a, b)
    if a.dtype.is_floating:
        return widened(_quotient, a, b) if node.static(a) is not None else widened(tf.divide, a, b)
    if a.dtype.is_unsigned:
        return widened(tf.math.floordiv, a, b)
    return widened(_truncated_quotient, a, b)


def _quotient(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Of a constant: TFLite (2.21) moves a transposition over it and swaps the two, unless it is a vector."""
    if b.shape.rank == 0:
        return tf.divide(a, b)
    if a.shape.num_elements() == 1 and (a.shape.rank or 0) <= (b.shape.rank or 0):
        return tf.divide(tf.reshape(a, [1]), b)
    return tf.divide(tf.ones([1], b.dtype), b) * a


def _truncated_quotient(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """From the quotient towards minus infinity, which TFLite has."""
    quotient = floor_quotient(a, b)
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
    if not a.dtype.is_floating:
        rest = tf.math.floormod(a, b)
        is_wrong = tf.logical_and(tf.not_equal(rest, 0), tf.not_equal(tf.less(a, 0), tf.less(b, 0)))
        return tf.where(is_wrong, rest - b, rest)
    rest = tf.math.floormod(tf.abs(a), tf.abs(b))
    signed = tf.where(tf.less(a, 0), -rest, rest)
    # Of a negative zero the rest is one too.
    return tf.where(tf.logical_and(tf.equal(a, 0), tf.equal(rest, 0)), a, signed)


@ops.register("Pow", 1, 7, 12, 13, 15)
def pow_(node: Node, base: tf.Tensor, exponent: tf.Tensor) -> tf.Tensor:
    """The power, in the type of the base; the exponent may have another."""
    exponent = aligned(node, base, exponent)
    known = node.static(exponent)
    if known is not None and known.size == 1 and known.ndim <= (base.shape.rank or 0):
        # ONNX Runtime multiplies for these two as well.
        if known.item() == 2:
            return widened(tf.square, base)
        if known.item() == 3:
            return widened(lambda value: value * value * value, base)
        if not base.dtype.is_floating and exponent.dtype.is_floating and float(known.item()).is_integer():
            exponent = tf.constant(known.astype(np.int64))
    if exponent.dtype.is_floating and not base.dtype.is_floating:
        return via(tf.float64, tf.pow, base, exponent)
    left = wide(base)
    power = tf.pow if base.dtype.is_floating or base.dtype.is_unsigned else whole_power
    return tf.cast(power(left, tf.cast(exponent, left.dtype)), base.dtype)


@ops.register("Neg", 1, 6, 13)
def neg(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The negative."""
    return widened(tf.negative, x)


@ops.register("Abs", 1, 6, 13)
def abs_(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The absolute value."""
    return x if x.dtype.is_unsigned else widened(absolute, x)


@ops.register("Sign", 9, 13)
def sign(node: Node, x: tf.Tensor) -> tf.Tensor:
    """-1, 0 or 1."""
    if x.dtype.is_unsigned:
        return tf.cast(tf.not_equal(x, tf.zeros([], x.dtype)), x.dtype)
    if x.dtype.is_integer:
        return widened(lambda value: tf.minimum(tf.maximum(value, -tf.ones([], value.dtype)), 1), x)
    return widened(tf.sign, x)


@ops.register("Reciprocal", 1, 6, 13)
def reciprocal(node: Node, x: tf.Tensor) -> tf.Tensor:
    """One by x."""
    return widened(lambda value: _quotient(tf.ones([], value.dtype), value), x)


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
    """Between two inputs, each of which may be missing; where they cross, the upper one holds for all."""
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

    # An infinite bound says nothing, and the converter to TFLite would make it a finite one.
    low = None if low == -np.inf else low
    high = None if high == np.inf else high

    def clipped(value: tf.Tensor) -> tf.Tensor:
        if low is not None:
            value = tf.maximum(value, tf.constant(low, value.dtype))
        return value if high is None else tf.minimum(value, tf.constant(high, value.dtype))

    return widened(clipped, x)


@ops.register("BitShift", 11)
def bit_shift(node: Node, x: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Bits moved to the left or to the right."""
    if node.text("direction") != "LEFT":
        return tf.bitwise.right_shift(x, places)
    if x.dtype == tf.uint64:
        return tf.bitwise.left_shift(x, places)
    # A product, since TFLite shifts to the right alone; moved by its size or more, nothing is left.
    bits = 8 * x.dtype.size
    left = wide(x)
    factors = tf.constant([*(1 << place for place in range(bits)), 0], left.dtype)
    return tf.cast(left * tf.gather(factors, tf.minimum(tf.cast(places, tf.int32), bits)), x.dtype)
