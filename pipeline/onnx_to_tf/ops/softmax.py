"""Softmax and what is like it: over one axis, before opset 13 over all axes from one on."""

from collections.abc import Callable

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import at_rank, axis_of, dimensions, vector
from pipeline.onnx_to_tf.ops.layouts import channels_first, channels_last
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Softmax")

_OVER_ONE_AXIS = 13
"""The version since which it is over one axis."""


@ops.register("Softmax", 1, 11, 13)
def softmax(node: Node, x: tf.Tensor) -> tf.Tensor:
    """``exp(x) / sum(exp(x))``."""
    return _over_last(node, x, tf.nn.softmax)


@ops.register("LogSoftmax", 1, 11, 13)
def log_softmax(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The logarithm of softmax."""
    return _over_last(node, x, tf.nn.log_softmax)


@ops.register("Hardmax", 1, 11, 13)
def hardmax(node: Node, x: tf.Tensor) -> tf.Tensor:
    """1 for the first of the largest elements, 0 for the others."""

    def hardened(x: tf.Tensor) -> tf.Tensor:
        depth = dimensions(x)[-1]
        largest = tf.argmax(x, -1, output_type=tf.int32)
        return tf.one_hot(largest, depth, tf.constant(1, x.dtype), tf.constant(0, x.dtype))

    return _over_last(node, x, hardened)


def _over_last(node: Node, x: tf.Tensor, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Applies a function of the last axis to the axes that the node means."""
    rank = at_rank(node, x)
    is_flat = node.version < _OVER_ONE_AXIS
    axis = axis_of(node, node.integer("axis", 1 if is_flat else -1), rank) if rank else 0
    if rank == 0:
        return tf.reshape(function(tf.reshape(x, [1])), [])
    if axis == rank - 1:
        return function(x)
    if is_flat:
        shape = dimensions(x)
        inner = vector(shape[axis:])
        width = tf.reduce_prod(inner) if any(tf.is_tensor(size) for size in shape[axis:]) else _product(shape[axis:])
        outer = -1 if axis else 1
        return tf.reshape(function(tf.reshape(x, vector([outer, width]))), vector(shape))
    if axis == 1:
        return channels_first(function(channels_last(x)))
    last = [*range(axis), *range(axis + 1, rank), axis]
    back = [*range(axis), rank - 1, *range(axis, rank - 1)]
    return tf.transpose(function(tf.transpose(x, last)), back)


def _product(sizes: list[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product
