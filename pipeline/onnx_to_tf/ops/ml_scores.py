"""What the classifiers and regressors of ai.onnx.ml make of raw scores.

The specification names the transforms and leaves the case of two classes with one score open; here all is as in
onnxruntime/core/providers/cpu/ml/ml_common.h.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node

__all__ = ["chosen_label", "class_labels", "probit", "rows_of", "transformed", "two_columns"]

_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def rows_of(x: tf.Tensor) -> tf.Tensor:
    """The input as [rows, features]: one without an axis for rows is one row."""
    return tf.expand_dims(x, 0) if x.shape.rank == 1 else x


def class_labels(node: Node, integers: str) -> Sequence[int] | Sequence[str]:
    """The labels of the classes, of whichever type the node states."""
    return node.texts("classlabels_strings", None) or node.integers(integers, None)


def chosen_label(labels: Sequence[int] | Sequence[str], position: tf.Tensor) -> tf.Tensor:
    """The label at each position."""
    dtype = tf.string if isinstance(labels[0], str) else tf.int64
    return tf.gather(tf.constant(list(labels), dtype), position)


def transformed(node: Node, scores: tf.Tensor, transform: str) -> tf.Tensor:
    """The scores of two or more classes or targets, [rows, classes], after a transform by its name in the node."""
    if transform == "NONE":
        return scores
    if transform == "LOGISTIC":
        return tf.sigmoid(scores)
    if transform == "SOFTMAX":
        return tf.nn.softmax(scores, -1)
    if transform == "SOFTMAX_ZERO":
        return _softmax_zero(scores)
    if transform == "PROBIT":
        return probit(scores)
    raise node.unsupported(f"post_transform is {transform!r}; there are {', '.join(_TRANSFORMS)}")


def two_columns(score: tf.Tensor, transform: str, *, is_probability: bool) -> tf.Tensor:
    """The scores of two classes where there is one of the second, [rows].

    Args:
        score: of the second class, as it was summed.
        transform: LOGISTIC acts; no other does.
        is_probability: whether it lies between 0 and 1 already.
    """
    if transform == "LOGISTIC":
        return tf.stack([tf.sigmoid(-score), tf.sigmoid(score)], -1)
    return tf.stack([1 - score if is_probability else -score, score], -1)


def probit(x: tf.Tensor) -> tf.Tensor:
    """The quantile of the normal distribution, by Winitzki's approximation of the inverse of erf."""
    y = 2 * x - 1
    logarithm = tf.math.log((1 - y) * (1 + y))
    v = 2 / (3.14159 * 0.147) + 0.5 * logarithm
    root = tf.sqrt(-v + tf.sqrt(v * v - logarithm / 0.147))
    return np.sqrt(2).astype(x.dtype.as_numpy_dtype) * tf.where(y < 0, -root, root)


def _softmax_zero(scores: tf.Tensor) -> tf.Tensor:
    """Softmax over what is not zero; zeros stay nearly so."""
    largest = tf.reduce_max(scores, -1, keepdims=True)
    is_zero = tf.abs(scores) <= 1e-7
    powers = tf.exp(scores - largest)
    total = tf.reduce_sum(tf.where(is_zero, tf.zeros_like(powers), powers), -1, keepdims=True)
    return tf.where(is_zero, scores * tf.exp(-largest), powers) / total
