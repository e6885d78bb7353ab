"""Linear models and support vector machines.

What the specification leaves open is as in ONNX Runtime: linearclassifier.cc, svmclassifier.cc and svmregressor.cc in
onnxruntime/core/providers/cpu/ml.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.ml_scores import chosen_label, class_labels, probit, rows_of, transformed, two_columns
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Linear models and support vectors (ai.onnx.ml)")

_ML = "ai.onnx.ml"

_KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")

_SWEEPS = 100
"""At most, over the classes: multiclass_probability in ml_common.h, as in LIBSVM."""

_CLIPPED = 1e-7
"""The least probability of one class against another (svmclassifier.cc)."""

Floats = NDArray[np.float32]


@ops.register("LinearClassifier", 1, domain=_ML)
def linear_classifier(node: Node, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels [N] and scores [N, classes], float32, for rows [N, features]."""
    labels = class_labels(node, "classlabels_ints")
    transform = node.text("post_transform", "NONE")
    intercepts = node.numbers("intercepts", None) or [0.0] * len(labels)
    scores = _linear(x, node.numbers("coefficients"), intercepts)
    if len(intercepts) > 1:
        if len(labels) != len(intercepts):
            raise node.unsupported(f"it has {len(intercepts)} intercepts and {len(labels)} labels; state one for each")
        label = chosen_label(labels, tf.argmax(scores, -1, output_type=tf.int32))
        return label, transformed(node, scores, transform)
    if len(labels) != 2 or transform == "PROBIT":
        raise node.unsupported("one score gives two classes, and not by PROBIT; state the coefficients of each class")
    score = scores[:, 0]
    label = chosen_label(labels, tf.cast(score > 0, tf.int32))
    return label, two_columns(score, transform, is_probability=True)


@ops.register("LinearRegressor", 1, domain=_ML)
def linear_regressor(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Scores [N, targets], float32, for rows [N, features]."""
    targets, transform = node.integer("targets", 1), node.text("post_transform", "NONE")
    intercepts = node.numbers("intercepts", None)
    scores = _linear(x, node.numbers("coefficients"), intercepts if len(intercepts) == targets else [0.0] * targets)
    if targets == 1:
        # With one target ONNX Runtime knows this transform alone.
        return probit(scores) if transform == "PROBIT" else scores
    return transformed(node, scores, transform)


@ops.register("SVMClassifier", 1, domain=_ML)
def svm_classifier(node: Node, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels [N] and, float32, what the node states data for, for rows [N, features].

    The probability of each class [N, classes]; without support vectors the score of each class; else for two classes
    the score of one against the other [N, 2], and for more of each pair [N, pairs].
    """
    labels, transform = class_labels(node, "classlabels_ints"), node.text("post_transform", "NONE")
    coefficients = np.asarray(node.numbers("coefficients"), np.float32)
    counts = node.integers("vectors_per_class", None)
    if not sum(counts):
        return _without_vectors(node, x, labels, coefficients, transform)
    if len(counts) != len(labels) or len(labels) < 2:
        raise node.unsupported(f"it has {len(labels)} labels and vectors of {len(counts)} classes; state two or more")
    kernels = _kernels(node, _rows(x), _vectors(node, sum(counts)))
    weights, against = _pairs(counts, coefficients)
    pairs = tf.matmul(kernels, tf.constant(weights)) + tf.constant(node.numbers("rho")[: len(against)], tf.float32)
    label = chosen_label(labels, _most_voted(pairs, against, len(labels)))
    if node.has("prob_a") and node.numbers("prob_a"):
        return label, transformed(node, _probabilities(node, pairs, against, len(labels)), transform)
    if len(labels) > 2:
        return label, transformed(node, pairs, transform)
    if transform == "PROBIT":
        raise node.unsupported("PROBIT of the score of two classes is left open; apply it behind this node")
    return label, two_columns(pairs[:, 0], transform, is_probability=transform != "NONE")


@ops.register("SVMRegressor", 1, domain=_ML)
def svm_regressor(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Scores [N, 1], or with ``one_class`` 1 and -1, float32, for rows [N, features]. It has no transform."""
    count = node.integer("n_supports", 0)
    coefficients, rho = np.asarray(node.numbers("coefficients"), np.float32), node.numbers("rho")[0]
    rows = _rows(x)
    kernels = _kernels(node, rows, _vectors(node, count)) if count else rows
    scores = tf.matmul(kernels, tf.constant(coefficients[:, None])) + rho
    if node.integer("one_class", 0):
        return tf.where(scores > 0, tf.ones_like(scores), -tf.ones_like(scores))
    return scores


def _rows(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(rows_of(x), tf.float32)


def _linear(x: tf.Tensor, coefficients: Sequence[float], intercepts: Sequence[float]) -> tf.Tensor:
    """Coefficients are [targets, features], flat."""
    weights = np.asarray(coefficients, np.float32).reshape(len(intercepts), -1)
    return tf.matmul(_rows(x), tf.constant(weights.T)) + tf.constant(intercepts, tf.float32)


def _vectors(node: Node, count: int) -> Floats:
    """The support vectors, [count, features]."""
    return np.asarray(node.numbers("support_vectors"), np.float32).reshape(count, -1)


def _kernels(node: Node, rows: tf.Tensor, vectors: Floats) -> tf.Tensor:
    """The kernel of each row with each support vector, [N, vectors]."""
    kind, parameters = node.text("kernel_type", "LINEAR"), node.numbers("kernel_params", None) or [0.0, 0.0, 0.0]
    gamma, offset, degree = parameters[:3]
    if kind == "RBF":
        return tf.exp(-gamma * _squared_distances(rows, vectors))
    products = tf.matmul(rows, tf.constant(np.ascontiguousarray(vectors.T)))
    if kind == "LINEAR":
        return products
    if kind == "POLY":
        sums = gamma * products + offset
        if degree in (2, 3):
            return tf.square(sums) if degree == 2 else sums * sums * sums
        return tf.pow(sums, tf.constant(degree, tf.float32))
    if kind == "SIGMOID":
        return tf.tanh(gamma * products + offset)
    raise node.unsupported(f"kernel_type is {kind!r}; there are {', '.join(_KERNELS)}")


def _squared_distances(rows: tf.Tensor, vectors: Floats) -> tf.Tensor:
    """Of each row to each vector. Around the vectors' middle, where the three terms are of the size of their sum."""
    middle = vectors.mean(0, dtype=np.float64).astype(np.float32)
    near, rows = vectors - middle, rows - tf.constant(middle)
    products = tf.matmul(rows, tf.constant(np.ascontiguousarray(near.T)))
    return tf.nn.relu(tf.reduce_sum(rows * rows, 1, keepdims=True) - 2 * products + tf.constant((near**2).sum(1)))


def _pairs(counts: Sequence[int], coefficients: Floats) -> tuple[Floats, list[tuple[int, int]]]:
    """What the kernels are multiplied with to give the score of each pair of classes, and the pairs.

    The coefficients are [classes - 1, vectors]: for i and j, those in row j - 1 of i's vectors and in row i of j's.
    """
    classes, ends = len(counts), np.cumsum(counts)
    rows = coefficients[: (classes - 1) * ends[-1]].reshape(classes - 1, ends[-1])
    spans = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    weights = np.zeros((ends[-1], len(pairs)), np.float32)
    for column, (i, j) in enumerate(pairs):
        weights[spans[i], column] = rows[j - 1, spans[i]]
        weights[spans[j], column] = rows[i, spans[j]]
    return weights, pairs


def _most_voted(pairs: tf.Tensor, against: Sequence[tuple[int, int]], classes: int) -> tf.Tensor:
    """The class that most pairs are for, the first of several, int32 [N]."""
    first, second = np.zeros((2, len(against), classes), np.float32)
    for row, (i, j) in enumerate(against):
        first[row, i] = second[row, j] = 1
    won = tf.cast(pairs > 0, tf.float32)
    votes = tf.matmul(won, tf.constant(first)) + tf.matmul(1 - won, tf.constant(second))
    return tf.argmax(votes, -1, output_type=tf.int32)


def _without_vectors(
    node: Node, x: tf.Tensor, labels: Sequence[int] | Sequence[str], coefficients: Floats, transform: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """A linear machine: coefficients are [classes, features], one rho is for all."""
    weights = coefficients.reshape(len(labels), -1)
    scores = tf.matmul(_rows(x), tf.constant(np.ascontiguousarray(weights.T))) + node.numbers("rho")[0]
    position = tf.argmax(scores, -1, output_type=tf.int32)
    if len(labels) == 2 and not node.numbers("prob_a", None):
        # The second class wins from a threshold on, whichever has the larger score.
        largest = tf.reduce_max(scores, -1)
        wins = largest >= 0.5 if (coefficients >= 0).all() else largest > 0
        position = tf.where(wins, tf.ones_like(position), position)
    scores = transformed(node, scores, transform) if len(labels) > 1 else scores
    return chosen_label(labels, position), scores


def _probabilities(node: Node, pairs: tf.Tensor, against: Sequence[tuple[int, int]], classes: int) -> tf.Tensor:
    """The probability of each class, [N, classes], from that of each class against each other.

    Wu, Lin and Weng, "Probability estimates for multi-class classification by pairwise coupling", algorithm 2; with the
    same start, sweeps and end for each row as ONNX Runtime, whose result is not the limit.
    """
    a, b = (tf.constant(node.numbers(name)[: len(against)], tf.float32) for name in ("prob_a", "prob_b"))
    wins = tf.clip_by_value(1 - tf.sigmoid(pairs * a + b), _CLIPPED, 1 - _CLIPPED)
    # r[n, i, j]: of class i against class j.
    place = np.full((classes, classes), 2 * len(against), np.int32)
    for index, (i, j) in enumerate(against):
        place[i, j], place[j, i] = index, len(against) + index
    everything = tf.concat([wins, 1 - wins, tf.zeros_like(wins[:, :1])], 1)
    r = tf.reshape(tf.gather(everything, tf.constant(place.ravel()), axis=1), [-1, classes, classes])
    beaten = tf.transpose(r, [0, 2, 1])
    diagonal = tf.reduce_sum(beaten * beaten, -1)
    q = tf.constant(np.eye(classes, dtype=np.float32)) * diagonal[:, None] - beaten * r
    return _coupled(q, diagonal, classes)


def _coupled(q: tf.Tensor, diagonal: tf.Tensor, classes: int) -> tf.Tensor:
    """The p that minimizes p' q p, summing to 1; q is [N, classes, classes]."""
    threshold = 0.005 / classes
    unit = tf.constant(np.eye(classes, dtype=np.float32))

    def gradients(p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        products = tf.reduce_sum(q * p[:, None], -1)
        total = tf.reduce_sum(p * products, -1, keepdims=True)
        return products, total, tf.reduce_max(tf.abs(products - total), -1, keepdims=True) >= threshold

    def of_class(i: tf.Tensor, p: tf.Tensor, products: tf.Tensor, total: tf.Tensor) -> tuple[Any, ...]:
        own = unit[i][None]
        product, curvature = (tf.reduce_sum(x * own, -1, keepdims=True) for x in (products, diagonal))
        change = (total - product) / curvature
        scale = 1 + change
        total = (total + change * (change * curvature + 2 * product)) / scale / scale
        return i + 1, (p + change * own) / scale, (products + change * tf.gather(q, i, axis=1)) / scale, total

    def sweep(count: tf.Tensor, p: tf.Tensor, _: tf.Tensor) -> tuple[Any, ...]:
        products, total, goes_on = gradients(p)
        state = [tf.constant(0), p, products, total]
        swept = tf.while_loop(lambda i, *_: i < classes, of_class, state)[1]
        return count + 1, tf.where(goes_on, swept, p), tf.reduce_any(goes_on)

    start = tf.ones_like(diagonal) / classes
    state = [tf.constant(0), start, tf.constant(True)]
    return tf.while_loop(lambda count, p, goes_on: goes_on & (count < _SWEEPS), sweep, state)[1]
