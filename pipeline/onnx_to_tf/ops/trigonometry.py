"""Circular and hyperbolic functions, of those that TFLite has: sine, cosine, atan2, exponential and logarithm."""

import math

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.elementary import log1p
from pipeline.onnx_to_tf.ops.widening import widened
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Trigonometry")

_SMALL = 0.5
"""Below it the difference of two exponentials loses digits, and the series below has them all in float32."""

_LARGE = 1e10
"""From here on 1 is nothing beside the square, in float32 and in float64."""


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
    return widened(lambda value: tf.atan2(value, tf.ones_like(value)), x)


@ops.register("Sinh", 9, 22)
def sinh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The hyperbolic sine."""
    return widened(_sinh, x)


def _sinh(x: tf.Tensor) -> tf.Tensor:
    square = x * x
    series = x * (1 + square / 6 * (1 + square / 20 * (1 + square / 42 * (1 + square / 72))))
    return tf.where(tf.less(tf.abs(x), _SMALL), series, _half_exp(x) - _half_exp(-x))


def _half_exp(x: tf.Tensor) -> tf.Tensor:
    """Half of the exponential, which may be finite where the whole is not."""
    root = tf.exp(x / 2)
    return root / 2 * root


@ops.register("Cosh", 9, 22)
def cosh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The hyperbolic cosine."""
    return widened(lambda value: _half_exp(value) + _half_exp(-value), x)


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
    is_large = tf.greater(size, _LARGE)
    near = tf.where(is_large, tf.ones([], x.dtype), size)
    square = near * near
    # Written so that a small number does not lose its digits.
    return tf.sign(x) * tf.where(is_large, _log_of_double(size), log1p(near + square / (1 + tf.sqrt(1 + square))))


def _log_of_double(x: tf.Tensor) -> tf.Tensor:
    """Of x that may be finite where its double is not."""
    return tf.math.log(x) + math.log(2)


@ops.register("Acosh", 9, 22)
def acosh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The inverse of the hyperbolic cosine."""
    return widened(_acosh, x)


def _acosh(x: tf.Tensor) -> tf.Tensor:
    is_large = tf.greater(x, _LARGE)
    near = tf.where(is_large, tf.ones([], x.dtype), x)
    return tf.where(is_large, _log_of_double(x), log1p(near - 1 + tf.sqrt((near - 1) * (near + 1))))


@ops.register("Atanh", 9, 22)
def atanh(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The inverse of the hyperbolic tangent."""
    return widened(lambda value: (log1p(value) - log1p(-value)) / 2, x)
