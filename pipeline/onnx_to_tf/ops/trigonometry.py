"""Circular and hyperbolic functions, of those that TFLite has: sine, cosine, atan2, exponential and logarithm."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.elementary import log1p
from pipeline.onnx_to_tf.ops.widening import widened
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Trigonometry")

_SMALL = 0.5
"""Below it the difference of two exponentials loses digits, and the series below has them all in float32."""


@ops.register("Sin", 7, 22)
def sin(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The sine."""
    return widened(tf.sin, x)


@ops.register("Cos", 7, 22)
def cos(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The cosine."""
    return widened(tf.cos, x)


@ops.register("Tan", 7, 22)
def tan(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The tangent."""
    return widened(lambda value: tf.sin(value) / tf.cos(value), x)


@ops.register("Asin", 7, 22)
def asin(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The arc sine."""
    return widened(lambda value: tf.atan2(value, _other_side(value)), x)


@ops.register("Acos", 7, 22)
def acos(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The arc cosine."""
    return widened(lambda value: tf.atan2(_other_side(value), value), x)


def _other_side(x: tf.Tensor) -> tf.Tensor:
    """Of a right triangle with the hypotenuse 1."""
    return tf.sqrt((1 - x) * (1 + x))


@ops.register("Atan", 7, 22)
def atan(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The arc tangent."""
    return widened(lambda value: tf.atan2(value, tf.ones([], value.dtype)), x)


@ops.register("Sinh", 9, 22)
def sinh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The hyperbolic sine."""
    return widened(_sinh, x)


def _sinh(x: tf.Tensor) -> tf.Tensor:
    square = x * x
    series = x * (1 + square / 6 * (1 + square / 20 * (1 + square / 42 * (1 + square / 72))))
    return tf.where(tf.less(tf.abs(x), _SMALL), series, (tf.exp(x) - tf.exp(-x)) / 2)


@ops.register("Cosh", 9, 22)
def cosh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The hyperbolic cosine."""
    return widened(lambda value: (tf.exp(value) + tf.exp(-value)) / 2, x)


@ops.register("Tanh", 1, 6, 13)
def tanh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The hyperbolic tangent."""
    return widened(tf.tanh, x)


@ops.register("Asinh", 9, 22)
def asinh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The inverse of the hyperbolic sine."""
    return widened(_asinh, x)


def _asinh(x: tf.Tensor) -> tf.Tensor:
    size = tf.abs(x)
    square = size * size
    # Written so that neither a small number loses its digits nor the square of a large one is needed.
    return tf.sign(x) * log1p(size + tf.where(tf.less(size, 1e10), square / (1 + tf.sqrt(1 + square)), size))


@ops.register("Acosh", 9, 22)
def acosh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The inverse of the hyperbolic cosine."""
    return widened(lambda value: tf.math.log(value + tf.sqrt((value - 1) * (value + 1))), x)


@ops.register("Atanh", 9, 22)
def atanh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The inverse of the hyperbolic tangent."""
    return widened(lambda value: (log1p(value) - log1p(-value)) / 2, x)
