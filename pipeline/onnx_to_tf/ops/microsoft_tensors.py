"""Operators of ONNX Runtime that ONNX lacked when they were made."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Tensors of ONNX Runtime")

_MICROSOFT = "com.microsoft"


@ops.register("Inverse", domain=_MICROSOFT)
def inverse(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The inverse of each matrix."""
    if x.dtype == tf.float16:
        return tf.cast(tf.linalg.inv(tf.cast(x, tf.float32)), tf.float16)
    return tf.linalg.inv(x)


@ops.register("Trilu", domain=_MICROSOFT)
def trilu(node: Node, x: tf.Tensor, k: tf.Tensor | None = None) -> tf.Tensor:
    """The triangle of each matrix that lies above the k-th diagonal, or below it; zeros elsewhere."""
    diagonal = tf.constant(0) if k is None else tf.cast(tf.reshape(k, []), tf.int32)
    shape = tf.shape(x)
    place = tf.range(shape[-1])[tf.newaxis, :] - tf.range(shape[-2])[:, tf.newaxis]
    kept = place >= diagonal if node.integer("upper", 1) else place <= diagonal
    return tf.where(kept, x, tf.zeros_like(x))


@ops.register("ExpandDims", domain=_MICROSOFT)
def expand_dims(node: Node, x: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    """One axis more, of length 1."""
    known = node.static_integers(axis)
    return tf.expand_dims(x, tf.reshape(axis, []) if known is None else known[0])


@ops.register("Range", domain=_MICROSOFT)
def range_(node: Node, start: tf.Tensor, limit: tf.Tensor, delta: tf.Tensor | None = None) -> tf.Tensor:
    """Numbers from start, up to but not including the limit."""
    step = tf.ones([], start.dtype) if delta is None else tf.reshape(delta, [])
    if start.dtype == tf.int16:
        numbers = tf.range(*(tf.cast(tf.reshape(x, []), tf.int32) for x in (start, limit, step)))
        return tf.cast(numbers, tf.int16)
    return tf.range(tf.reshape(start, []), tf.reshape(limit, []), step)


@ops.register("Unique", domain=_MICROSOFT)
def unique(node: Node, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The distinct entries of a vector in the order they first occur, where each entry is there, how many there are."""
    found, index, counts = tf.unique_with_counts(x, out_idx=tf.int64)
    return found, index, counts


@ops.register("Pad", domain=_MICROSOFT)
def pad(node: Node, x: tf.Tensor, pads: tf.Tensor, value: tf.Tensor | None = None) -> tf.Tensor:
    """Adds entries before and behind each axis: a value, the mirror image, or the outermost entry."""
    rank, mode = x.shape.rank, node.text("mode", "constant")
    if rank is None:
        raise node.unsupported("the rank of its input is unknown; state it, unknown axes and all")
    known = node.static_integers(pads)
    if known is not None and min(known, default=0) < 0:
        raise node.unsupported("it takes entries away; slice instead")
    amounts = tf.transpose(tf.reshape(pads, [2, rank]))
    if mode == "constant":
        filler = tf.zeros([], x.dtype) if value is None else tf.reshape(value, [])
        return tf.pad(x, amounts, constant_values=filler)
    if mode == "reflect":
        return tf.pad(x, amounts, mode="REFLECT")
    if mode != "edge":
        raise node.unsupported(f"its mode is {mode}; constant, reflect and edge would do")
    for axis in range(rank):
        place = tf.range(-tf.cast(amounts[axis, 0], tf.int32), tf.shape(x)[axis] + tf.cast(amounts[axis, 1], tf.int32))
        x = tf.gather(x, tf.clip_by_value(place, 0, tf.shape(x)[axis] - 1), axis=axis)
    return x


@ops.register("CDist", domain=_MICROSOFT)
def cdist(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The distance of every row of a to every row of b, squared or not."""
    metric = node.text("metric", "sqeuclidean")
    if metric not in ("sqeuclidean", "euclidean"):
        raise node.unsupported(f"its metric is {metric}; sqeuclidean and euclidean would do")
    squared = (
        tf.reduce_sum(tf.square(a), 1)[:, tf.newaxis]
        + tf.reduce_sum(tf.square(b), 1)[tf.newaxis, :]
        - 2.0 * tf.matmul(a, b, transpose_b=True)
    )
    squared = tf.maximum(squared, tf.zeros([], a.dtype))
    return tf.sqrt(squared) if metric == "euclidean" else squared


@ops.register("Rfft", domain=_MICROSOFT)
def rfft(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The transform of the last axis, or of the last two; the result's last axis has the real and imaginary part."""
    spectrum = tf.signal.rfft2d(x) if _signal_axes(node) == 2 else tf.signal.rfft(x)
    return tf.stack([tf.math.real(spectrum), tf.math.imag(spectrum)], -1)


@ops.register("Irfft", domain=_MICROSOFT)
def irfft(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The inverse of Rfft."""
    spectrum = tf.complex(x[..., 0], x[..., 1])
    return tf.signal.irfft2d(spectrum) if _signal_axes(node) == 2 else tf.signal.irfft(spectrum)


@ops.register("IsAllFinite", domain=_MICROSOFT)
def is_all_finite(node: Node, *tensors: tf.Tensor) -> tf.Tensor:
    """Whether no entry is infinite, or none is NaN, or both."""
    if node.integer("isinf_only", 0):
        bad = [tf.reduce_any(tf.math.is_inf(x)) for x in tensors]
    elif node.integer("isnan_only", 0):
        bad = [tf.reduce_any(tf.math.is_nan(x)) for x in tensors]
    else:
        bad = [tf.reduce_any(tf.logical_not(tf.math.is_finite(x))) for x in tensors]
    return tf.logical_not(tf.reduce_any(tf.stack(bad)))


def _signal_axes(node: Node) -> int:
    axes = node.integer("signal_ndim", 1)
    if axes not in (1, 2) or not node.integer("onesided", 1) or node.integer("normalized", 0):
        raise node.unsupported("it transforms more than two axes, or is normalized; onesided=1, normalized=0 would do")
    return axes
