"""Normalization: by the statistics of a batch, of the axes of each element, of groups of channels, of neighbours."""

from collections.abc import Callable, Sequence
from functools import reduce

import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import at_rank, axis_of, dimension, dimensions, vector
from pipeline.onnx_to_tf.ops.layouts import channels_first, channels_last, per_channel
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Normalization")

Outputs = tuple[tf.Tensor | None, ...]

_MVN_EPSILON = 1e-9
"""Added to the deviation: the body of MeanVarianceNormalization in onnx/defs/nn/defs.cc."""


@ops.register("BatchNormalization", 1, 6, 7, 9)
def batch_normalization(
    node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor, mean: tf.Tensor, var: tf.Tensor
) -> Outputs:
    """By the mean and the variance that it is given, or, where the other outputs are wanted, by the batch's own.

    Outputs: y, running mean, running variance, and of the batch mean and variance.
    """
    is_training = any(node.wants(output) for output in range(1, 5)) and not node.integer("is_test", 0)
    if not is_training:
        return (_by_channel(node, x, scale, bias, mean, var), mean, var, mean, var)[: len(node.node.outputs)]
    y, running_mean, running_var, own_mean, own_var = _by_own_statistics(node, x, scale, bias, mean, var)
    return (y, running_mean, running_var, own_mean, own_var)[: len(node.node.outputs)]


@ops.register("BatchNormalization", 14, 15)
def batch_normalization_with_mode(
    node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor, mean: tf.Tensor, var: tf.Tensor
) -> tf.Tensor | Outputs:
    """As above; an attribute says whether by the batch's own. Outputs: y, running mean, running variance."""
    if not node.integer("training_mode", 0):
        return _by_channel(node, x, scale, bias, mean, var)
    return _by_own_statistics(node, x, scale, bias, mean, var)[:3]


@ops.register("InstanceNormalization", 1, 6, 22)
def instance_normalization(node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Each channel of each element of the batch by itself."""
    rank = at_rank(node, x)
    y, _, _ = _normalized(_wide(x), list(range(2, rank)), node.number("epsilon", 1e-5))
    y = y * per_channel(_like(scale, y), rank) + per_channel(_like(bias, y), rank)
    return tf.cast(y, x.dtype)


@ops.register("GroupNormalization", 18, 21)
def group_normalization(node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Groups of channels of each element of the batch; scale and bias by channel, in opset 18 by group."""
    rank, groups = at_rank(node, x), node.integer("num_groups")
    wide = _wide(x, _stash(node))
    grouped = tf.reshape(wide, vector([dimension(x, 0), groups, -1]))
    y, _, _ = _normalized(grouped, [2], node.number("epsilon", 1e-5))
    scale, bias = _like(scale, y), _like(bias, y)
    # In opset 18 they are by group; as many as there are channels can only be meant by channel.
    if node.version == 18 and scale.shape[0] in (None, groups):
        y = y * per_channel(scale, 3) + per_channel(bias, 3)
        return tf.cast(tf.reshape(y, vector(dimensions(x))), x.dtype)
    y = tf.reshape(y, vector(dimensions(x)))
    return tf.cast(y * per_channel(scale, rank) + per_channel(bias, rank), x.dtype)


@ops.register("LayerNormalization", 17)
def layer_normalization(node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor | None = None) -> Outputs:
    """Over the axes from ``axis`` on. Outputs: y, mean, 1 / deviation."""
    stash = _stash(node)
    y, mean, inverse = _normalized(_wide(x, stash), _axes_from(node, x), node.number("epsilon", 1e-5))
    y = y * _like(scale, y)
    y = y if bias is None else y + _like(bias, y)
    return tf.cast(y, x.dtype), tf.cast(mean, stash), tf.cast(inverse, stash)


@ops.register("RMSNormalization", 23)
def rms_normalization(node: Node, x: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Over the axes from ``axis`` on, by the root of the mean square."""
    wide = _wide(x, _stash(node))
    square = tf.reduce_mean(tf.square(wide), _axes_from(node, x), keepdims=True)
    y = wide * tf.math.rsqrt(square + tf.cast(node.number("epsilon", 1e-5), wide.dtype))
    return tf.cast(y * _like(scale, y), scale.dtype)


@ops.register("LRN", 1, 13)
def local_response_normalization(node: Node, x: tf.Tensor) -> tf.Tensor:
    """By the squares of the neighbouring channels: ``x / (bias + alpha / size * sum) ** beta``."""
    rank, size = at_rank(node, x), node.integer("size")
    alpha, beta, bias = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("bias", 1.0)
    if rank == 4 and size % 2 == 1 and x.dtype == tf.float32:
        y = tf.nn.local_response_normalization(channels_last(x), size // 2, bias, alpha / size, beta)
        return channels_first(y)
    wide = _wide(x)
    before = (size - 1) // 2
    pads = [[before, size - 1 - before] if axis == 1 else [0, 0] for axis in range(rank)]
    squares, channels = tf.pad(tf.square(wide), pads), dimension(x, 1)
    total = reduce(tf.add, (squares[:, shift : shift + channels] for shift in range(size)))
    constant: Callable[[float], tf.Tensor] = lambda value: tf.constant(value, wide.dtype)  # noqa: E731
    y = wide * tf.pow(constant(bias) + constant(alpha / size) * total, constant(-beta))
    return tf.cast(y, x.dtype)


@ops.register("LpNormalization", 1, 22)
def lp_normalization(node: Node, x: tf.Tensor) -> tf.Tensor:
    """By the 1-norm or the 2-norm along an axis; zeros stay zeros."""
    axis, p = axis_of(node, node.integer("axis", -1), at_rank(node, x)), node.integer("p", 2)
    if p not in (1, 2):
        raise node.unsupported(f"its p is {p}; 1 or 2 would do")
    wide = _wide(x)
    if p == 1:
        norm = tf.reduce_sum(tf.abs(wide), axis, keepdims=True)
    else:
        norm = tf.sqrt(tf.reduce_sum(tf.square(wide), axis, keepdims=True))
    return tf.cast(wide / tf.where(tf.equal(norm, 0), tf.ones_like(norm), norm), x.dtype)


@ops.register("MeanVarianceNormalization", 9, 13)
def mean_variance_normalization(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Over the axes that the node states, by default batch and space."""
    axes, wide = node.integers("axes", [0, 2, 3]), _wide(x)
    centred = wide - tf.reduce_mean(wide, axes, keepdims=True)
    deviation = tf.sqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True))
    return tf.cast(centred / (deviation + tf.cast(_MVN_EPSILON, wide.dtype)), x.dtype)


def _by_channel(
    node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor, mean: tf.Tensor, var: tf.Tensor
) -> tf.Tensor:
    """``x * factor + shift``, both made in the graph, of variables that can be trained; TFLite folds them."""
    wide = _wide(x)
    scale, bias, mean, var = (_like(vector, wide) for vector in (scale, bias, mean, var))
    factor = scale * tf.math.rsqrt(var + tf.cast(node.number("epsilon", 1e-5), var.dtype))
    shift = bias - mean * factor
    return tf.cast(wide * _beside(factor, x) + _beside(shift, x), x.dtype)


def _by_own_statistics(
    node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor, mean: tf.Tensor, var: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Y, the running mean and variance as they are after the batch, and the batch's own."""
    rank, wide = at_rank(node, x), _wide(x)
    axes = [axis for axis in range(rank) if axis != 1] if node.integer("spatial", 1) else [0]
    own_mean = tf.reduce_mean(wide, axes)
    own_var = tf.reduce_mean(tf.square(wide - _beside(own_mean, x)), axes)
    momentum = tf.cast(node.number("momentum", 0.9), wide.dtype)
    running_mean = _like(mean, wide) * momentum + own_mean * (1 - momentum)
    running_var = _like(var, wide) * momentum + own_var * (1 - momentum)
    y = _by_channel(node, x, scale, bias, own_mean, own_var)
    return (
        y,
        tf.cast(running_mean, mean.dtype),
        tf.cast(running_var, var.dtype),
        tf.cast(own_mean, mean.dtype),
        tf.cast(own_var, var.dtype),
    )


def _beside(statistic: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """One value a channel, or, before opset 9 with ``spatial`` 0, one for each element but the batch."""
    return per_channel(statistic, x.shape.rank) if statistic.shape.rank == 1 else statistic


def _normalized(x: tf.Tensor, axes: Sequence[int], epsilon: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """To mean 0 and variance 1; the mean, and 1 / deviation."""
    mean = tf.reduce_mean(x, axes, keepdims=True)
    centred = x - mean
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True) + tf.cast(epsilon, x.dtype))
    return centred * inverse, mean, inverse


def _axes_from(node: Node, x: tf.Tensor) -> list[int]:
    rank = at_rank(node, x)
    return list(range(axis_of(node, node.integer("axis", -1), rank), rank))


def _stash(node: Node) -> tf.DType:
    """The type that the statistics are computed in."""
    return tensorflow_dtype(ir.DataType(node.integer("stash_type", int(ir.DataType.FLOAT))))


def _wide(x: tf.Tensor, stash: tf.DType = tf.float32) -> tf.Tensor:
    """In the wider one of the type that it has and another, but in 32 bits at least."""
    return tf.cast(x, max((x.dtype, stash, tf.float32), key=lambda dtype: dtype.size))


def _like(x: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.cast(x, other.dtype)
