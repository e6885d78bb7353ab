"""Random numbers.

They are not those of another runtime: ONNX names the distribution, not the generator. With a seed a node gives the same
numbers each time it runs; without one, others each time.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Random")


@ops.register("RandomNormal", 1, 22, is_foldable=False)
def random_normal(node: Node) -> tf.Tensor:
    """Normally distributed numbers of the shape that an attribute states."""
    return _normal(node, node.integers("shape"), _dtype(node, tf.float32))


@ops.register("RandomNormalLike", 1, 22, is_foldable=False)
def random_normal_like(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Normally distributed numbers in the shape of a tensor."""
    return _normal(node, tf.shape(x), _dtype(node, x.dtype))


@ops.register("RandomUniform", 1, 22, is_foldable=False)
def random_uniform(node: Node) -> tf.Tensor:
    """Evenly distributed numbers of the shape that an attribute states."""
    return _uniform(node, node.integers("shape"), _dtype(node, tf.float32))


@ops.register("RandomUniformLike", 1, 22, is_foldable=False)
def random_uniform_like(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Evenly distributed numbers in the shape of a tensor."""
    return _uniform(node, tf.shape(x), _dtype(node, x.dtype))


@ops.register("Bernoulli", 15, 22, is_foldable=False)
def bernoulli(node: Node, probabilities: tf.Tensor) -> tf.Tensor:
    """1 with the probability that the input states, else 0."""
    drawn = _drawn(node, tf.random.uniform, tf.random.stateless_uniform)(tf.shape(probabilities), dtype=tf.float64)
    return tf.cast(drawn < tf.cast(probabilities, tf.float64), _dtype(node, probabilities.dtype))


@ops.register("Multinomial", 7, 22, is_foldable=False)
def multinomial(node: Node, logits: tf.Tensor) -> tf.Tensor:
    """Classes drawn from unnormalized log probabilities, [batch, classes]: [batch, samples]."""
    draw = _drawn(node, tf.random.categorical, tf.random.stateless_categorical)
    return draw(logits, node.integer("sample_size", 1), dtype=_dtype(node, tf.int32))


def _normal(node: Node, shape: list[int] | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    mean, scale = node.number("mean", 0.0), node.number("scale", 1.0)
    return _drawn(node, tf.random.normal, tf.random.stateless_normal)(shape, mean=mean, stddev=scale, dtype=dtype)


def _uniform(node: Node, shape: list[int] | tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    low, high = node.number("low", 0.0), node.number("high", 1.0)
    return _drawn(node, tf.random.uniform, tf.random.stateless_uniform)(shape, minval=low, maxval=high, dtype=dtype)


def _drawn(
    node: Node, stateful: Callable[..., tf.Tensor], stateless: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    if not node.has("seed"):
        return stateful
    # The seed is a float32 in the file: its bits are the integer that a generator takes.
    seed = [int(np.float32(node.number("seed")).view(np.int32)), 0]
    return lambda *arguments, **options: stateless(*arguments, seed=seed, **options)


def _dtype(node: Node, default: tf.DType) -> tf.DType:
    return tensorflow_dtype(ir.DataType(node.integer("dtype"))) if node.has("dtype") else default
