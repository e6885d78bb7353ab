"""Dropout: the identity, except in a model that was exported for training."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Dropout")

Outputs = tuple[tf.Tensor, tf.Tensor | None]


@ops.register("Dropout", 7, 10)
def dropout_at_inference(node: Node, x: tf.Tensor) -> Outputs:
    """The identity, and a mask that keeps everything: these versions know no training."""
    return x, _everything(node, x, x.dtype if node.version < 10 else tf.bool)


@ops.register("Dropout", 1, 6, is_foldable=False)
def dropout_by_attribute(node: Node, x: tf.Tensor) -> Outputs:
    """Drops unless the attribute ``is_test`` is set."""
    if node.integer("is_test", 0):
        return x, _everything(node, x, x.dtype)
    y, mask = _dropped(x, tf.constant(node.number("ratio", 0.5)))
    return y, tf.cast(mask, x.dtype)


@ops.register("Dropout", 12, 13, 22, is_foldable=False)
def dropout(node: Node, x: tf.Tensor, ratio: tf.Tensor | None = None, training: tf.Tensor | None = None) -> Outputs:
    """Drops in training mode only, which may be known when the model runs; what is left is scaled to keep the mean.

    What is dropped is random: another choice than another runtime's. With a ``seed`` the choices are always the same
    ones, one after another, since the model was loaded.
    """
    if training is None:
        return x, _everything(node, x, tf.bool)
    known = node.static(training)
    if known is not None and not known.any():
        return x, _everything(node, x, tf.bool)
    chance = tf.constant(0.5) if ratio is None else tf.cast(tf.reshape(ratio, []), tf.float32)
    if known is None:
        chance = chance * tf.cast(tf.reshape(training, []), tf.float32)
    stated = node.static(ratio)
    if stated is not None and float(stated) == 0.0:
        return x, _everything(node, x, tf.bool)
    return _dropped(x, chance, seed=node.integer("seed") if node.has("seed") else None)


def _dropped(x: tf.Tensor, chance: tf.Tensor, *, seed: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    drawn = tf.random.uniform(tf.shape(x), seed=seed)
    mask = tf.ensure_shape(drawn >= chance, x.shape)
    kept = tf.cast(1.0 / (1.0 - chance), x.dtype)
    return tf.where(mask, x * kept, tf.zeros_like(x)), mask


def _everything(node: Node, x: tf.Tensor, dtype: tf.DType) -> tf.Tensor | None:
    return tf.ones_like(x, dtype) if node.wants(1) else None
