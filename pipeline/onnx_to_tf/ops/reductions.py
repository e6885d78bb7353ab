"""Sums, extremes and the like along axes."""

from collections.abc import Callable

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.elementary import absolute, is_infinite
from pipeline.onnx_to_tf.ops.widening import via, wide, widened
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Reductions")

Reduction = Callable[[tf.Tensor, tf.Tensor | None, bool], tf.Tensor]
"""Takes a tensor, axes (None for all) and whether a reduced axis stays, as 1."""


def _reduced(node: Node, reduction: Reduction, x: tf.Tensor, axes: tf.Tensor | None) -> tf.Tensor:
    """Calls the reduction with the axes of the node: of its attribute or, in later opsets, of its input."""
    keeps = bool(node.integer("keepdims", 1))
    if axes is None and node.has("axes"):
        axes = tf.constant(node.integers("axes"), tf.int64)
    # Without axes what is done to each element is done still, such as the square: onnx's pull request 7137 states it,
    # and ONNX Runtime does so. TensorFlow reduces nothing along no axes.
    is_noop = bool(node.integer("noop_with_empty_axes", 0))
    known = node.static_integers(axes)
    if axes is None or known == [] or axes.shape == (0,):
        return reduction(x, [] if is_noop else None, keeps)
    if known is not None:
        return reduction(x, known, keeps)
    if axes.shape[0] is None and not is_noop:
        axes = tf.cond(tf.equal(tf.size(axes), 0), lambda: tf.range(tf.rank(x), dtype=axes.dtype), lambda: axes)
    return reduction(x, axes, keeps)


@ops.register("ReduceSum", 1, 11, 13)
def reduce_sum(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The sum."""
    return _reduced(node, lambda v, along, keeps: widened(lambda w: tf.reduce_sum(w, along, keeps), v), x, axes)


@ops.register("ReduceMean", 1, 11, 13, 18)
def reduce_mean(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The mean."""
    return _reduced(node, lambda v, along, keeps: widened(lambda w: tf.reduce_mean(w, along, keeps), v), x, axes)


@ops.register("ReduceProd", 1, 11, 13, 18)
def reduce_prod(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The product."""
    return _reduced(node, lambda v, along, keeps: widened(lambda w: tf.reduce_prod(w, along, keeps), v), x, axes)


@ops.register("ReduceMax", 1, 11, 12, 13, 18, 20)
def reduce_max(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The greatest; of truth values whether one is true."""
    function = tf.reduce_any if x.dtype == tf.bool else tf.reduce_max
    return _reduced(node, lambda v, along, keeps: widened(lambda w: function(w, along, keeps), v), x, axes)


@ops.register("ReduceMin", 1, 11, 12, 13, 18, 20)
def reduce_min(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The least; of truth values whether all are true."""
    function = tf.reduce_all if x.dtype == tf.bool else tf.reduce_min
    return _reduced(node, lambda v, along, keeps: widened(lambda w: function(w, along, keeps), v), x, axes)


@ops.register("ReduceL1", 1, 11, 13, 18)
def reduce_l1(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The sum of absolute values."""
    return _reduced(
        node, lambda v, along, keeps: widened(lambda w: tf.reduce_sum(absolute(w), along, keeps), v), x, axes
    )


@ops.register("ReduceSumSquare", 1, 11, 13, 18)
def reduce_sum_square(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The sum of squares."""
    return _reduced(
        node, lambda v, along, keeps: widened(lambda w: tf.reduce_sum(tf.square(w), along, keeps), v), x, axes
    )


@ops.register("ReduceL2", 1, 11, 13, 18)
def reduce_l2(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The root of the sum of squares."""

    def length(v: tf.Tensor, along: tf.Tensor | None, keeps: bool) -> tf.Tensor:
        return _in_reals(lambda w: tf.sqrt(tf.reduce_sum(tf.square(w), along, keeps)), v)

    return _reduced(node, length, x, axes)


@ops.register("ReduceLogSum", 1, 11, 13, 18)
def reduce_log_sum(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The logarithm of the sum."""

    def logarithm(v: tf.Tensor, along: tf.Tensor | None, keeps: bool) -> tf.Tensor:
        return _in_reals(lambda w: tf.math.log(tf.reduce_sum(w, along, keeps)), v)

    return _reduced(node, logarithm, x, axes)


@ops.register("ReduceLogSumExp", 1, 11, 13, 18)
def reduce_log_sum_exp(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """The logarithm of the sum of exponentials, which does not overflow."""

    def logarithm(v: tf.Tensor, along: tf.Tensor | None, keeps: bool) -> tf.Tensor:
        return _in_reals(lambda w: _log_sum_exp(w, along, keeps), v)

    return _reduced(node, logarithm, x, axes)


def _log_sum_exp(x: tf.Tensor, axes: tf.Tensor | None, keeps: bool) -> tf.Tensor:
    most = tf.reduce_max(x, axes, keepdims=True)
    most = tf.stop_gradient(tf.where(is_infinite(most), tf.zeros_like(most), most))
    total = tf.math.log(tf.reduce_sum(tf.exp(x - most), axes, keeps))
    # Over one element an axis this is that element, in the shape that is wanted.
    return total + (most if keeps else tf.reduce_sum(most, axes))


def _in_reals(function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Computes a function of reals; of whole numbers in float64, towards zero."""
    return widened(function, x) if x.dtype.is_floating else via(tf.float64, function, x)


@ops.register("ArgMax", 1, 11, 12, 13)
def arg_max(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Where the greatest is, int64: the first, or with ``select_last_index`` the last."""
    return _position(node, tf.argmax, x)


@ops.register("ArgMin", 1, 11, 12, 13)
def arg_min(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Where the least is, int64: the first, or with ``select_last_index`` the last."""
    return _position(node, tf.argmin, x)


def _position(node: Node, function: Callable[..., tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    if x.shape.rank is None:
        raise node.unsupported("how many axes its input has is not known; state the shape in the model")
    axis = node.integer("axis", 0) % x.shape.rank
    x = wide(x)
    if x.dtype == tf.int64:
        # TFLite has no kernel for these; where the extreme stands it has, among truth values as numbers.
        extreme = (tf.reduce_max if function is tf.argmax else tf.reduce_min)(x, axis, keepdims=True)
        x, function = tf.cast(tf.equal(x, extreme), tf.int32), tf.argmax
    if node.integer("select_last_index", 0):
        last = tf.cast(tf.shape(x)[axis], tf.int64) - 1
        position = last - function(tf.reverse(x, [axis]), axis, output_type=tf.int64)
    else:
        position = function(x, axis, output_type=tf.int64)
    return tf.expand_dims(position, axis) if node.integer("keepdims", 1) else position


@ops.register("CumSum", 11, 14)
def cumsum(node: Node, x: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    """The sum of all before and of the entry itself; ``exclusive``: without it, ``reverse``: of all behind."""
    known = node.static_integers(axis)
    along = tf.reshape(axis, []) if known is None else known[0]
    is_exclusive, is_reversed = bool(node.integer("exclusive", 0)), bool(node.integer("reverse", 0))
    return widened(lambda v: tf.cumsum(v, along, is_exclusive, is_reversed), x)
