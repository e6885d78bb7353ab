"""Pooling: the largest, the mean or a norm of each window, and back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import Entry, dimension, dimensions, entries_or_parts, vector
from pipeline.onnx_to_tf.ops.layouts import channels_first, channels_last, spatial_rank
from pipeline.onnx_to_tf.ops.widening import via
from pipeline.onnx_to_tf.ops.windows import Window, padded, per_axis, strided, windows
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Pooling")

_NOT_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus", "Abs", "Exp")


@ops.register("MaxPool", 1, 8, 10, 11, 12, 22)
def max_pool(node: Node, x: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor | None, tf.Tensor]:
    """The largest of each window, and, if wanted, where in the flattened input it stands."""
    if node.wants(1):
        return _with_indices(node, x, _windows(node, x))

    def pooled(x: tf.Tensor) -> tf.Tensor:
        slid, lowest = _windows(node, x), _lowest(node, x)
        if any(window.dilation > 1 for window in slid):
            return _folded(tf.maximum, padded(x, slid, first_axis=2, value=lowest), slid)
        return channels_first(_pooled(_largest(lowest), channels_last(x), slid))

    # TFLite knows no pooling of whole numbers that stand for themselves.
    return via(tf.float32, pooled, x) if x.dtype in (tf.int8, tf.uint8) else pooled(x)


@ops.register("AveragePool", 1, 7, 10, 11, 19, 22)
def average_pool(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The mean of each window: without the padding, or with what the model states of it (``count_include_pad``)."""
    return _in_float32(lambda x: _averaged(node, x), x)


@ops.register("LpPool", 1, 2, 11, 18, 22)
def lp_pool(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The p-norm of each window."""

    def pooled(x: tf.Tensor) -> tf.Tensor:
        slid, p = _windows(node, x), _p(node)
        return _root(_summed(_power(x, p), slid), p)

    return _in_float32(pooled, x)


@ops.register("GlobalMaxPool", 1, 22)
def global_max_pool(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The largest of each channel."""
    return tf.reduce_max(x, _spatial(node, x), keepdims=True)


@ops.register("GlobalAveragePool", 1, 22)
def global_average_pool(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The mean of each channel."""
    axes = _spatial(node, x)
    return _in_float32(lambda x: tf.reduce_mean(x, axes, keepdims=True), x)


@ops.register("GlobalLpPool", 1, 2, 22)
def global_lp_pool(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The p-norm of each channel."""
    axes, p = _spatial(node, x), _p(node)
    return _in_float32(lambda x: _root(tf.reduce_sum(_power(x, p), axes, keepdims=True), p), x)


@ops.register("MaxUnpool", 9, 11, 22)
def max_unpool(node: Node, x: tf.Tensor, indices: tf.Tensor, output_shape: tf.Tensor | None = None) -> tf.Tensor:
    """Puts each element back to where MaxPool found it, among zeros.

    With an ``output_shape`` the indices are those of a tensor of that shape: so MaxPool gives them for an input of that
    shape, and so ONNX Runtime reads them.
    """
    rank = spatial_rank(node, x)
    kernel, strides = node.integers("kernel_shape"), per_axis(node, "strides", rank)
    pads = node.integers("pads", None) or [0] * (2 * rank)
    if output_shape is not None:
        shape = [v if isinstance(v, int) else tf.cast(v, tf.int32) for v in entries_or_parts(node, output_shape)]
    else:
        lengths = [(dimension(x, 2 + i) - 1) * strides[i] + kernel[i] - pads[i] - pads[rank + i] for i in range(rank)]
        shape = [*dimensions(x)[:2], *lengths]
    total = _multiplied(shape)
    places = tf.reshape(tf.cast(indices, tf.int32), [-1, 1])
    elements = tf.reshape(x, [-1])
    if all(stride >= size for stride, size in zip(strides, kernel, strict=True)):
        flat = tf.scatter_nd(places, elements, vector([total]))
    else:
        # Windows overlap, and may have the same element: it must not be added up.
        flat = tf.tensor_scatter_nd_update(tf.zeros(vector([total]), x.dtype), places, elements)
    return tf.reshape(flat, vector(shape))


def _windows(node: Node, x: tf.Tensor) -> list[Window]:
    rank, kernel = spatial_rank(node, x), node.integers("kernel_shape")
    if len(kernel) != rank:
        raise node.unsupported(f"its kernel_shape is {kernel}; state a size for each of the {rank} axes")
    return windows(node, x, kernel)


def _spatial(node: Node, x: tf.Tensor) -> list[int]:
    return list(range(2, 2 + spatial_rank(node, x)))


def _pooled(pool: Callable[[tf.Tensor, Sequence[Window]], tf.Tensor], x: tf.Tensor, slid: list[Window]) -> tf.Tensor:
    """Pools channels-last, two axes at a time: what is pooled here along one axis does not depend on another.

    Args:
        pool: takes [N, H, W, C] and the windows of H and W.
        x: [N, D1, ..., Dn, C].
        slid: the windows of D1, ..., Dn.
    """
    if len(slid) == 1:
        return tf.squeeze(pool(x[:, tf.newaxis], [_still(1), slid[0]]), axis=1)
    if len(slid) == 2:
        return pool(x, slid)
    batch, first, *inner = dimensions(x)
    y = _pooled(pool, tf.reshape(x, vector([batch * first, *inner])), slid[1:])
    pooled = dimensions(y)[1:]
    among = _multiplied(pooled[:-1])
    y = pool(tf.reshape(y, vector([batch, first, among, pooled[-1]])), [slid[0], _still(among)])
    return tf.reshape(y, vector([batch, dimension(y, 1), *pooled]))


def _still(length: Entry) -> Window:
    """Windows of one element each."""
    return Window(length, 1, 1, 1, 0, 0, 0, is_same=True)


def _largest(lowest: float) -> Callable[[tf.Tensor, Sequence[Window]], tf.Tensor]:
    def pool(x: tf.Tensor, slid: Sequence[Window]) -> tf.Tensor:
        padding = "SAME" if all(window.is_same for window in slid) else "VALID"
        x = x if padding == "SAME" else padded(x, slid, first_axis=1, value=lowest)
        return tf.nn.max_pool2d(x, [w.kernel for w in slid], [w.stride for w in slid], padding)

    return pool


def _mean(x: tf.Tensor, slid: Sequence[Window]) -> tf.Tensor:
    """Of the windows that are within the input: padding has to be there already, or SAME, which counts no padding."""
    padding = "SAME" if all(window.is_same for window in slid) else "VALID"
    return tf.nn.avg_pool2d(x, [w.kernel for w in slid], [w.stride for w in slid], padding)


def _averaged(node: Node, x: tf.Tensor) -> tf.Tensor:
    slid, counts_pads = _windows(node, x), bool(node.integer("count_include_pad", 0))
    if any(window.dilation > 1 for window in slid):
        y = _folded(tf.add, padded(x, slid, first_axis=2), slid)
        return _divided(y, slid, first_axis=2, counts_pads=counts_pads)
    x = channels_last(x)
    if not counts_pads and all(window.is_same for window in slid):
        return channels_first(_pooled(_mean, x, slid))
    y = _pooled(_mean, padded(x, slid, first_axis=1), _inside(slid))
    is_whole = not any(window.sticks_out if counts_pads else window.is_padded for window in slid)
    if not is_whole:
        y = _divided(y * _size(slid, y.dtype), slid, first_axis=1, counts_pads=counts_pads)
    return channels_first(y)


def _divided(y: tf.Tensor, slid: list[Window], *, first_axis: int, counts_pads: bool) -> tf.Tensor:
    """Sums divided by how many elements there are in each window that count."""
    for axis, window in enumerate(slid, first_axis):
        counts = tf.cast(_counts(window, counts_pads=counts_pads), y.dtype)
        y = y / tf.reshape(counts, [-1, *[1] * (y.shape.rank - axis - 1)])
    return y


def _summed(x: tf.Tensor, slid: list[Window]) -> tf.Tensor:
    """The sums of the windows, padded by zeros; channels first."""
    if any(window.dilation > 1 for window in slid):
        return _folded(tf.add, padded(x, slid, first_axis=2), slid)
    y = _pooled(_mean, padded(channels_last(x), slid, first_axis=1), _inside(slid))
    return channels_first(y * _size(slid, y.dtype))


def _size(slid: list[Window], dtype: tf.DType) -> tf.Tensor:
    """Elements of a window."""
    return tf.constant(_multiplied([window.kernel for window in slid]), dtype)


def _inside(slid: list[Window]) -> list[Window]:
    """The windows over what was padded."""
    return [
        replace(
            window,
            length=window.length + window.begin + window.end,
            begin=0,
            end=0,
            stated_end=0,
            is_same=window.kernel == window.stride == 1,
        )
        for window in slid
    ]


def _folded(combine: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], x: tf.Tensor, slid: list[Window]) -> tf.Tensor:
    """Combines the elements of each window, an axis after another; x is padded, channels first."""
    for axis, window in enumerate(slid, 2):
        x = reduce(combine, (strided(x, axis, window, position) for position in range(window.kernel)))
    return x


def _counts(window: Window, *, counts_pads: bool) -> tf.Tensor:
    """How many elements of each window count: [windows]."""
    low, high = (-window.begin, window.length + window.stated_end) if counts_pads else (0, window.length)

    def counted(starts: tf.Tensor) -> tf.Tensor:
        places = starts[:, tf.newaxis] + tf.constant([list(range(0, window.extent, window.dilation))])
        return tf.reduce_sum(tf.cast((places >= low) & (places < high), tf.float32), 1)

    if any(tf.is_tensor(value) for value in (window.length, window.begin, window.end)):
        return counted(tf.range(window.count) * window.stride - window.begin)
    with tf.init_scope():
        counts = counted(tf.constant(np.arange(window.count, dtype=np.int32) * window.stride - window.begin))
    return tf.constant(counts.numpy())


def _with_indices(node: Node, x: tf.Tensor, slid: list[Window]) -> tuple[tf.Tensor, tf.Tensor]:
    """Channels first. Of equal elements the first in the flattened input is found, as in ONNX Runtime."""
    batch, channels, *lengths = dimensions(x)
    if node.integer("storage_order", 0):
        steps = [_multiplied(lengths[:i]) for i in range(len(lengths))]
    else:
        steps = [_multiplied(lengths[i + 1 :]) for i in range(len(lengths))]
    places = tf.zeros([1] * x.shape.rank, tf.int64)
    for axis, (length, step) in enumerate(zip(lengths, steps, strict=True), 2):
        along = tf.range(tf.cast(length, tf.int64)) * tf.cast(step, tf.int64)
        places = places + tf.reshape(along, [-1, *[1] * (x.shape.rank - axis - 1)])
    x = padded(x, slid, first_axis=2, value=_minimum(x.dtype))
    places = padded(places, slid, first_axis=2)
    # The last axis first: so that the first row wins, and in it the first column.
    for axis, window in reversed(list(enumerate(slid, 2))):
        best, at = strided(x, axis, window, 0), strided(places, axis, window, 0)
        for position in range(1, window.kernel):
            other, there = strided(x, axis, window, position), strided(places, axis, window, position)
            is_larger = other > best
            best, at = tf.maximum(best, other), tf.where(is_larger, there, at)
        x, places = best, at
    planes = tf.range(tf.cast(batch * channels, tf.int64)) * tf.cast(_multiplied(lengths), tf.int64)
    return x, places + tf.reshape(planes, vector([batch, channels, *[1] * len(lengths)]))


def _multiplied(values: Sequence[Entry]) -> Entry:
    return reduce(lambda a, b: a * b, values, 1)


def _lowest(node: Node, x: tf.Tensor) -> float:
    """What never is the largest of a window: 0 where nothing is less, which keeps the range of quantization small."""
    source = node.node.inputs[0]
    producer = None if source is None else source.producer()
    if producer is not None and producer.domain in ("", "ai.onnx") and producer.op_type in _NOT_NEGATIVE:
        return 0.0
    return _minimum(x.dtype)


def _minimum(dtype: tf.DType) -> float:
    return -np.inf if dtype.is_floating else dtype.min


def _p(node: Node) -> float:
    """A whole number since version 2, before that any."""
    return node.number("p", 2.0) if node.version == 1 else float(node.integer("p", 2))


def _power(x: tf.Tensor, p: float) -> tf.Tensor:
    if p == 2:
        return tf.square(x)
    return tf.abs(x) if p == 1 else tf.pow(tf.abs(x), tf.constant(p, x.dtype))


def _root(x: tf.Tensor, p: float) -> tf.Tensor:
    if p == 2:
        return tf.sqrt(x)
    return x if p == 1 else tf.pow(x, tf.constant(1 / p, x.dtype))


def _in_float32(function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
    """Sums in float32 what is of 16 bits."""
    return via(tf.float32, function, x) if x.dtype.size == 2 else function(x)
