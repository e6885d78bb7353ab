"""Steps of optimizers, of ONNX's preview for training. Gradient has no function: TensorFlow derives what it trains."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Training")

_DOMAIN = "ai.onnx.preview.training"


@ops.register("Adagrad", 1, domain=_DOMAIN)
def adagrad(node: Node, rate: tf.Tensor, count: tf.Tensor, *tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """New weights and new sums of squared gradients, of weights, gradients and sums."""
    epsilon, decay = node.number("epsilon", 1e-6), node.number("decay_factor", 0.0)
    scalar = _scalar(rate)

    def step(x: tf.Tensor, gradient: tf.Tensor, squares: tf.Tensor) -> tuple[tf.Tensor, ...]:
        adjusted = tf.cast(scalar / (1 + tf.cast(_scalar(count), scalar.dtype) * decay), x.dtype)
        gradient = _regularized(node, x, gradient)
        squares = squares + gradient * gradient
        return x - adjusted * gradient / (tf.sqrt(squares) + epsilon), squares

    return _applied(step, tensors, 3)


@ops.register("Momentum", 1, domain=_DOMAIN)
def momentum(node: Node, rate: tf.Tensor, count: tf.Tensor, *tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """New weights and new momentums, of weights, gradients and momentums; standard or Nesterov's."""
    alpha, beta = node.number("alpha"), node.number("beta")
    is_nesterov = node.text("mode") == "nesterov"

    def step(x: tf.Tensor, gradient: tf.Tensor, velocity: tf.Tensor) -> tuple[tf.Tensor, ...]:
        gradient = _regularized(node, x, gradient)
        # At the first update the coefficient of the gradient is 1.
        factor = tf.where(_scalar(count) > 0, tf.constant(beta, x.dtype), tf.constant(1, x.dtype))
        velocity = alpha * velocity + factor * gradient
        change = gradient + alpha * velocity if is_nesterov else velocity
        return x - tf.cast(_scalar(rate), x.dtype) * change, velocity

    return _applied(step, tensors, 3)


@ops.register("Adam", 1, domain=_DOMAIN)
def adam(node: Node, rate: tf.Tensor, count: tf.Tensor, *tensors: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """New weights, momentums and second momentums, of weights, gradients, momentums and second momentums."""
    alpha, beta = node.number("alpha", 0.9), node.number("beta", 0.999)
    epsilon, shrinks = node.number("epsilon", 1e-6), node.number("norm_coefficient_post", 0.0)
    scalar = _scalar(rate)
    updates = tf.cast(_scalar(count), scalar.dtype)
    # Without an update so far there is no bias to correct: the divisor would be 0.
    is_corrected = updates > 0
    divisor = tf.where(is_corrected, 1 - tf.pow(tf.constant(alpha, scalar.dtype), updates), tf.ones_like(updates))
    factor = tf.sqrt(1 - tf.pow(tf.constant(beta, scalar.dtype), updates)) / divisor
    adjusted = tf.where(is_corrected, scalar * factor, scalar)

    def step(
        x: tf.Tensor, gradient: tf.Tensor, first: tf.Tensor, second: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        gradient = _regularized(node, x, gradient)
        first = alpha * first + (1 - alpha) * gradient
        second = beta * second + (1 - beta) * (gradient * gradient)
        new = x - tf.cast(adjusted, x.dtype) * (first / (tf.sqrt(second) + epsilon))
        return (1 - shrinks) * new, first, second

    return _applied(step, tensors, 4)


def _regularized(node: Node, x: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    return node.number("norm_coefficient", 0.0) * x + gradient


def _applied(
    step: Callable[..., tuple[tf.Tensor, ...]], tensors: Sequence[tf.Tensor], kinds: int
) -> tuple[tf.Tensor, ...]:
    """Applies a step to each weight: inputs and outputs are all weights, then all of the next kind."""
    count = len(tensors) // kinds
    made = [step(*tensors[index::count]) for index in range(count)]
    return tuple(output for kind in zip(*made, strict=True) for output in kind)


def _scalar(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [])
