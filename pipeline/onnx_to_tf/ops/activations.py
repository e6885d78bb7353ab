"""What stands between layers, elementwise."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.elementary import erf as error_function
from pipeline.onnx_to_tf.ops.elementary import softplus as smooth_relu
from pipeline.onnx_to_tf.ops.widening import widened
from pipeline.onnx_to_tf.registry import Family

__all__ = ["gelu_of", "ops"]

ops = Family("Activations")

_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
"""Defaults that the operator's specification states."""


@ops.register("Relu", 1, 6, 13, 14)
def relu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The value, or 0 where it is negative."""
    return widened(tf.nn.relu, x)


@ops.register("LeakyRelu", 1, 6, 16)
def leaky_relu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The value, or ``alpha`` of it where it is negative."""
    alpha = node.number("alpha", 0.01)
    return widened(lambda value: tf.nn.leaky_relu(value, alpha), x)


@ops.register("PRelu", 1, 6, 7, 9, 16)
def prelu(node: Node, x: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
    """The value, or ``slope`` of it where it is negative; before opset 7 there is a slope for each channel, axis 1."""
    if node.version < 7 and slope.shape.rank == 1 and x.shape.rank > 2:
        slope = tf.reshape(slope, [-1, *[1] * (x.shape.rank - 2)])
    if x.dtype.is_floating:
        # The form that TFLite has a kernel for.
        return widened(lambda value, factor: tf.nn.relu(value) + -factor * tf.nn.relu(-value), x, slope)
    return widened(lambda value, factor: tf.where(tf.less(value, 0), factor * value, value), x, slope)


@ops.register("Elu", 1, 6, 22)
def elu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The value, or ``alpha`` (exp(x) - 1) where it is negative."""
    alpha = node.number("alpha", 1.0)
    if alpha == 1.0:
        return widened(tf.nn.elu, x)
    return widened(lambda value: tf.nn.relu(value) + alpha * _below_zero(value), x)


def _below_zero(x: tf.Tensor) -> tf.Tensor:
    """exp(x) - 1 where x is negative, else 0; exact for small x."""
    return tf.nn.elu(tf.minimum(x, tf.zeros([], x.dtype)))


@ops.register("Selu", 1, 6, 22)
def selu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """``gamma`` times an Elu."""
    alpha, gamma = node.number("alpha", _SELU_ALPHA), node.number("gamma", _SELU_GAMMA)
    return widened(lambda value: gamma * (tf.nn.relu(value) + alpha * _below_zero(value)), x)


@ops.register("Celu", 12)
def celu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The value, or ``alpha`` (exp(x / alpha) - 1) where it is negative."""
    alpha = node.number("alpha", 1.0)
    return widened(lambda value: tf.nn.relu(value) + alpha * _below_zero(value / alpha), x)


@ops.register("Sigmoid", 1, 6, 13)
def sigmoid(node: Node, x: tf.Tensor) -> tf.Tensor:
    """1 / (1 + exp(-x))."""
    return widened(tf.sigmoid, x)


@ops.register("HardSigmoid", 1, 6, 22)
def hard_sigmoid(node: Node, x: tf.Tensor) -> tf.Tensor:
    """``alpha`` x + ``beta`` between 0 and 1."""
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    return widened(lambda value: tf.minimum(tf.nn.relu(alpha * value + beta), tf.ones([], value.dtype)), x)


@ops.register("HardSwish", 14, 22)
def hard_swish(node: Node, x: tf.Tensor) -> tf.Tensor:
    """X relu6(x + 3) / 6: the form that TFLite has a kernel for."""
    return widened(lambda value: value * tf.nn.relu6(value + 3) * (1 / 6), x)


@ops.register("Swish", 24)
def swish(node: Node, x: tf.Tensor) -> tf.Tensor:
    """X sigmoid(``alpha`` x)."""
    alpha = node.number("alpha", 1.0)
    return widened(lambda value: value * tf.sigmoid(alpha * value), x)


@ops.register("Softplus", 1, 22)
def softplus(node: Node, x: tf.Tensor) -> tf.Tensor:
    """log(1 + exp(x))."""
    return widened(smooth_relu, x)


@ops.register("Softsign", 1, 22)
def softsign(node: Node, x: tf.Tensor) -> tf.Tensor:
    """X / (1 + |x|)."""
    return widened(lambda value: value / (1 + tf.abs(value)), x)


@ops.register("Mish", 18, 22)
def mish(node: Node, x: tf.Tensor) -> tf.Tensor:
    """X tanh(softplus(x))."""
    return widened(lambda value: value * tf.tanh(smooth_relu(value)), x)


@ops.register("ThresholdedRelu", 10, 22)
def thresholded_relu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The value, or 0 where it is ``alpha`` or less."""
    alpha = node.number("alpha", 1.0)
    return widened(lambda value: tf.where(tf.greater(value, alpha), value, tf.zeros([], value.dtype)), x)


@ops.register("Shrink", 9)
def shrink(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Nearer to 0 by ``bias``, and 0 within ``lambd`` of it."""
    bias, limit = node.number("bias", 0.0), node.number("lambd", 0.5)

    def shrunk(value: tf.Tensor) -> tf.Tensor:
        real = value if value.dtype.is_floating else tf.cast(value, tf.float64)
        nothing = tf.zeros([], real.dtype)
        nearer = tf.where(tf.less(real, -limit), real + bias, tf.where(tf.greater(real, limit), real - bias, nothing))
        return tf.cast(nearer, value.dtype)

    return widened(shrunk, x)


@ops.register("Erf", 9, 13)
def erf(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The error function."""
    return widened(error_function, x)


@ops.register("Gelu", 20)
def gelu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """X times the normal distribution's share below it; ``approximate`` "tanh" by a hyperbolic tangent."""
    is_approximate = node.text("approximate", "none") == "tanh"
    return widened(lambda value: gelu_of(value, is_approximate=is_approximate), x)


def gelu_of(x: tf.Tensor, *, is_approximate: bool = False) -> tf.Tensor:
    """Gaussian error linear unit (Hendrycks and Gimpel, 2016); in floating point."""
    # TFLite has a kernel for each of the two, and its converter finds them in this form.
    return tf.nn.gelu(x, approximate=is_approximate)
