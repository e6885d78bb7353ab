"""Normalization as ONNX Runtime's optimizer writes it, fused with what stands before it."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Normalization of ONNX Runtime")

_MICROSOFT = "com.microsoft"

_EPSILON = 1e-12
"""The default of the operators that the optimizer of transformers makes."""

Outputs = tuple[tf.Tensor | None, ...]


@ops.register("LayerNormalization", 1)
@ops.register("LayerNormalization", 1, domain=_MICROSOFT)
def layer_normalization(node: Node, x: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor | None = None) -> Outputs:
    """ONNX Runtime's own, before opset 17: over the axes from ``axis`` on; gives mean and 1 / deviation too."""
    axes = _axes(node, x)
    wide = tf.cast(x, tf.float32)
    mean = tf.reduce_mean(wide, axes, keepdims=True)
    centred = wide - mean
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axes, keepdims=True) + node.number("epsilon", 1e-5))
    y = centred * inverse * tf.cast(scale, tf.float32)
    y = y if bias is None else y + tf.cast(bias, tf.float32)
    return tf.cast(y, scale.dtype), mean, inverse


@ops.register("SimplifiedLayerNormalization", 1)
@ops.register("SimplifiedLayerNormalization", 1, domain=_MICROSOFT)
def simplified_layer_normalization(node: Node, x: tf.Tensor, scale: tf.Tensor) -> Outputs:
    """Over the axes from ``axis`` on, by the root of the mean square alone; gives 1 / root too."""
    axes = _axes(node, x)
    wide = tf.cast(x, tf.float32)
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(wide), axes, keepdims=True) + node.number("epsilon", 1e-5))
    return tf.cast(wide * inverse * tf.cast(scale, tf.float32), scale.dtype), inverse


@ops.register("SkipLayerNormalization", domain=_MICROSOFT)
def skip_layer_normalization(
    node: Node,
    x: tf.Tensor,
    skip: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor | None = None,
    bias: tf.Tensor | None = None,
) -> Outputs:
    """Layer normalization, over the last axis, of ``x + skip + bias``; gives that sum too."""
    total = _total(x, skip, bias)
    return _normal(total, gamma, beta, node.number("epsilon", _EPSILON)), None, None, total


@ops.register("SkipSimplifiedLayerNormalization", domain=_MICROSOFT)
def skip_simplified_layer_normalization(
    node: Node, x: tf.Tensor, skip: tf.Tensor, gamma: tf.Tensor, bias: tf.Tensor | None = None
) -> Outputs:
    """As SkipLayerNormalization, by the root of the mean square alone."""
    total = _total(x, skip, bias)
    wide = tf.cast(total, tf.float32)
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(wide), -1, keepdims=True) + node.number("epsilon", _EPSILON))
    return tf.cast(wide * inverse * tf.cast(gamma, tf.float32), x.dtype), None, None, total


@ops.register("EmbedLayerNormalization", domain=_MICROSOFT)
def embed_layer_normalization(
    node: Node,
    words: tf.Tensor,
    segments: tf.Tensor | None,
    word_table: tf.Tensor,
    position_table: tf.Tensor,
    segment_table: tf.Tensor | None,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    mask: tf.Tensor | None = None,
    positions: tf.Tensor | None = None,
) -> Outputs:
    """The sum of the embeddings of word, position and segment, normalized; and how many entries of the mask are 1."""
    if positions is None:
        placed = position_table[: tf.shape(words)[1]][tf.newaxis]
    else:
        placed = tf.gather(position_table, positions)
    total = tf.gather(word_table, words) + placed
    if segments is not None and segment_table is not None:
        total = total + tf.gather(segment_table, segments)
    count = None
    if node.wants(1):
        count = tf.zeros_like(words[:, 0]) if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), 1)
    return _normal(total, gamma, beta, node.number("epsilon", _EPSILON)), count, total


@ops.register("GroupNorm", domain=_MICROSOFT)
def group_norm(node: Node, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Normalizes groups of channels, which come last by default, with a SiLU behind it if ``activation`` is 1."""
    return _grouped(node, x, gamma, beta)


@ops.register("SkipGroupNorm", domain=_MICROSOFT)
def skip_group_norm(
    node: Node, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, skip: tf.Tensor, bias: tf.Tensor | None = None
) -> Outputs:
    """As GroupNorm, of ``x + skip + bias``; gives that sum too."""
    if not node.integer("channels_last", 1):
        raise node.unsupported("its channels come first; export with channels_last=1")
    total = x + (skip if skip.shape.rank == 4 else skip[:, tf.newaxis, tf.newaxis, :])
    total = total if bias is None else total + bias
    return _grouped(node, total, gamma, beta), total


def _grouped(node: Node, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    is_last = bool(node.integer("channels_last", 1))
    wide = tf.cast(x if is_last else tf.transpose(x, [0, 2, 3, 1]), tf.float32)
    groups, channels = node.integer("groups"), wide.shape[-1]
    if channels is None:
        raise node.unsupported("the number of its channels is unknown; state it")
    shape = tf.shape(wide)
    split = tf.reshape(wide, tf.stack([shape[0], -1, groups, channels // groups]))
    centred = split - tf.reduce_mean(split, [1, 3], keepdims=True)
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), [1, 3], keepdims=True) + node.number("epsilon", 1e-5))
    y = tf.reshape(centred * inverse, shape) * tf.cast(gamma, tf.float32) + tf.cast(beta, tf.float32)
    if node.integer("activation"):
        y = y * tf.sigmoid(y)
    return tf.cast(tf.ensure_shape(y if is_last else tf.transpose(y, [0, 3, 1, 2]), x.shape), x.dtype)


def _total(x: tf.Tensor, skip: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    return x + skip if bias is None else x + skip + bias


def _normal(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor | None, epsilon: float) -> tf.Tensor:
    """Layer normalization over the last axis, in float32."""
    wide = tf.cast(x, tf.float32)
    centred = wide - tf.reduce_mean(wide, -1, keepdims=True)
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + epsilon)
    y = centred * inverse * tf.cast(gamma, tf.float32)
    return tf.cast(y if beta is None else y + tf.cast(beta, tf.float32), x.dtype)


def _axes(node: Node, x: tf.Tensor) -> list[int]:
    rank, axis = x.shape.rank, node.integer("axis", -1)
    if rank is None:
        raise node.unsupported("the rank of its input is unknown; state it, unknown axes and all")
    return list(range(axis % rank, rank))
