"""Losses of classification, by the logarithms of probabilities."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import at_rank, dimensions, vector
from pipeline.onnx_to_tf.ops.layouts import channels_first, channels_last
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Losses")


@ops.register("NegativeLogLikelihoodLoss", 12, 13, 22)
def negative_log_likelihood_loss(
    node: Node, x: tf.Tensor, target: tf.Tensor, weight: tf.Tensor | None = None
) -> tf.Tensor:
    """Of logarithms of probabilities [N, C, D1, ..., Dn] and classes [N, D1, ..., Dn]."""
    at_rank(node, x)
    return _reduced(node, channels_last(_flat(x)), target, weight)


@ops.register("SoftmaxCrossEntropyLoss", 12, 13)
def softmax_cross_entropy_loss(
    node: Node, scores: tf.Tensor, target: tf.Tensor, weight: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """The same of scores [N, C, D1, ..., Dn]; gives the logarithms of their softmax as well."""
    at_rank(node, scores)
    logarithms = tf.nn.log_softmax(channels_last(_flat(scores)))
    all_of_them = None
    if node.wants(1):
        all_of_them = tf.reshape(channels_first(logarithms), vector(dimensions(scores)))
    return _reduced(node, logarithms, target, weight), all_of_them


def _flat(x: tf.Tensor) -> tf.Tensor:
    """[N, C, D1, ..., Dn] to [N, C, D]."""
    return x if x.shape.rank <= 3 else tf.reshape(x, vector([*dimensions(x)[:2], -1]))


def _reduced(node: Node, logarithms: tf.Tensor, target: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """The loss of [N, D, C] or [N, C]."""
    shape = dimensions(target)
    classes = tf.reshape(target, [-1])
    counted = None
    if node.has("ignore_index"):
        counted = tf.not_equal(classes, tf.constant(node.integer("ignore_index"), classes.dtype))
        # An ignored class may be none of those that there are.
        classes = tf.where(counted, classes, tf.zeros_like(classes))
    rows = tf.reshape(logarithms, vector([-1, dimensions(logarithms)[-1]]))
    losses = -tf.gather(rows, classes, axis=1, batch_dims=1)
    factors = tf.ones_like(losses) if weight is None else tf.gather(weight, classes)
    if counted is not None:
        factors = tf.where(counted, factors, tf.zeros_like(factors))
        losses = tf.where(counted, losses, tf.zeros_like(losses))
    if weight is not None:
        losses = losses * factors
    reduction = node.text("reduction", "mean")
    if reduction == "none":
        return tf.reshape(losses, vector(shape))
    if reduction == "sum":
        return tf.reduce_sum(losses)
    if weight is None and counted is None:
        return tf.reduce_mean(losses)
    return tf.reduce_sum(losses) / tf.reduce_sum(factors)
