"""Sampling at places that tensors give: grids and regions of interest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Sampling")

_MODES = {"bilinear": "linear", "bicubic": "cubic"}
"""The names of opset 16, when images were all that could be sampled."""

_CUBIC_A = -0.75
"""PyTorch's coefficient for grid_sample, ONNX's by its reference."""


@ops.register("GridSample", 16, 20, 22)
def grid_sample(node: Node, x: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
    """Samples x [N, C, D1, ..., Dr] at grid [N, O1, ..., Or, r], whose last axis starts with Dr: [N, C, O1, ..., Or].

    Source: onnx/reference/ops/op_grid_sample.py.
    """
    mode = node.text("mode", "bilinear" if node.version == 16 else "linear")
    mode = _MODES.get(mode, mode)
    padding = node.text("padding_mode", "zeros")
    aligns_corners = bool(node.integer("align_corners", 0))
    if mode not in ("linear", "nearest", "cubic"):
        raise node.unsupported(f"mode {mode!r} is none of linear, nearest and cubic")
    if padding not in ("zeros", "border", "reflection"):
        raise node.unsupported(f"padding_mode {padding!r} is none of zeros, border and reflection")
    rank = x.shape.rank or grid.shape.rank
    if rank is None:
        raise node.unsupported("the ranks of its inputs are unknown; state one of them")
    spatial = rank - 2
    lengths = [_length(x, axis + 2) for axis in range(spatial)]
    batch = _length(x, 0)
    real = tf.float64 if grid.dtype == tf.float64 else tf.float32
    points = tf.reshape(tf.cast(grid, real), [batch, -1, spatial])
    taps = [
        _taps(points[..., spatial - 1 - axis], lengths[axis], mode, padding, aligns_corners) for axis in range(spatial)
    ]
    channels = _length(x, 1)
    values = tf.reshape(tf.transpose(x, [0, *range(2, rank), 1]), [batch, -1, channels])
    sampled = _sum_of_taps(values, lengths, taps, is_weighted=mode != "nearest")
    shape = tf.shape(grid)[:-1] if None in grid.shape.as_list() else grid.shape.as_list()[:-1]
    sampled = tf.reshape(sampled, tf.concat([shape, [channels]], 0))
    return tf.transpose(sampled, [0, rank - 1, *range(1, rank - 1)])


@ops.register("AffineGrid", 20)
def affine_grid(node: Node, theta: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """A grid [N, H, W, 2] or [N, D, H, W, 3] from matrices theta [N, 2, 3] or [N, 3, 4]; size is [N, C, (D,) H, W]."""
    aligns_corners = bool(node.integer("align_corners", 0))
    known = node.static_integers(size)
    dimensions = (len(known) - 2 if known else None) or theta.shape[1]
    if dimensions is None:
        raise node.unsupported("neither size nor theta tells whether the grid is of images or volumes; state a shape")
    lengths: list[Any] = known[2:] if known else [tf.cast(size, tf.int32)[axis + 2] for axis in range(dimensions)]
    real = tf.float64 if theta.dtype == tf.float64 else tf.float32
    axes = [_centers(length, aligns_corners, real) for length in lengths]
    mesh = tf.meshgrid(*axes, indexing="ij")
    # x, the last axis, comes first.
    places = tf.stack([*(tf.reshape(part, [-1]) for part in reversed(mesh)), tf.ones_like(tf.reshape(mesh[0], [-1]))])
    grid = tf.transpose(tf.matmul(tf.cast(theta, real), places), [0, 2, 1])
    return tf.cast(tf.reshape(grid, tf.stack([_length(theta, 0), *lengths, dimensions])), theta.dtype)


@ops.register("RoiAlign", 10, 16, 22)
def roi_align(node: Node, x: tf.Tensor, rois: tf.Tensor, batch_indices: tf.Tensor) -> tf.Tensor:
    """Pools points of x [N, C, H, W], interpolated, in regions [R, 4] of x1, y1, x2, y2 into [R, C, height, width].

    ``max`` takes the greatest of the four weighted neighbours, not of their sum: as ONNX's reference and ONNX Runtime.
    Source: onnx/reference/ops/op_roi_align.py.
    """
    dtype, mode = x.dtype, node.text("mode", "avg").lower()
    if mode not in ("avg", "max"):
        raise node.unsupported(f"mode {mode!r} is neither avg nor max")
    x, rois = _real(x), _real(rois)
    default = "output_half_pixel" if node.version == 10 else "half_pixel"
    shifts = node.text("coordinate_transformation_mode", default).lower() == "half_pixel"
    places = rois * tf.cast(node.number("spatial_scale", 1.0), rois.dtype) - (0.5 if shifts else 0.0)
    starts, extents = places[:, :2], places[:, 2:4] - places[:, :2]
    if not shifts:
        extents = tf.maximum(extents, 1)
    ratio = node.integer("sampling_ratio", 0)
    sides = (("output_height", 1, 2), ("output_width", 0, 3))
    lines = [
        _roi_line(starts[:, column], extents[:, column], node.integer(side, 1), ratio, _length(x, axis))
        for side, column, axis in sides
    ]
    return tf.cast(_pooled_rois(x, batch_indices, lines, mode), dtype)


@ops.register("MaxRoiPool", 1, 22)
def max_roi_pool(node: Node, x: tf.Tensor, rois: tf.Tensor) -> tf.Tensor:
    """The maximum of x [N, C, H, W] in each bin of regions [R, 5] of batch, x1, y1, x2, y2, ends included.

    Source: roi_pooling_layer of Fast R-CNN, as ONNX Runtime's roi_pool.cc.
    """
    dtype = x.dtype
    x, rois = _real(x), _real(rois)
    places = rois[:, 1:] * tf.cast(node.number("spatial_scale", 1.0), rois.dtype)
    places = tf.sign(places) * tf.floor(tf.abs(places) + 0.5)
    height, width = node.integers("pooled_shape")
    lines = [
        _roi_bins(places[:, column], places[:, column + 2], pooled, _length(x, axis))
        for pooled, column, axis in ((height, 1, 2), (width, 0, 3))
    ]
    return tf.cast(_pooled_rois(x, tf.cast(rois[:, 0], tf.int32), lines, "max"), dtype)


def _real(x: tf.Tensor) -> tf.Tensor:
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def _length(x: tf.Tensor, axis: int) -> Any:
    known = x.shape[axis]
    return tf.shape(x)[axis] if known is None else known


_Taps = list[tuple[tf.Tensor, tf.Tensor]]
"""Along one axis the neighbours of points [N, P]: indices in the input, int32, and weights, 0 where there is none."""


def _taps(normalized: tf.Tensor, length: Any, mode: str, padding: str, aligns_corners: bool) -> _Taps:
    real = normalized.dtype
    size = tf.cast(length, real)
    last = size - 1
    low, high = (tf.zeros_like(last), last) if aligns_corners else (tf.constant(-0.5, real), size - 0.5)
    x = (normalized + 1) / 2 * last if aligns_corners else ((normalized + 1) * size - 1) / 2
    if mode == "nearest":
        x = tf.round(x)
    if padding == "border" and mode != "cubic":
        # A cubic's neighbours are clipped one by one, as by PyTorch and ONNX Runtime, not by ONNX's reference.
        x = tf.where((x < low) | (x > high), tf.clip_by_value(x, 0, last), x)
    elif padding == "reflection":
        x = _reflected(x, low, high)
    if mode == "nearest":
        return [_tap(x, tf.ones_like(x), last, padding, low, high)]
    first = tf.floor(x)
    offsets = (0, 1) if mode == "linear" else (-1, 0, 1, 2)
    weight = _triangle if mode == "linear" else _cubic
    return [_tap(first + k, weight(tf.abs(first + k - x)), last, padding, low, high) for k in offsets]


def _tap(
    place: tf.Tensor, weight: tf.Tensor, last: tf.Tensor, padding: str, low: tf.Tensor, high: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    if padding == "zeros":
        weight = tf.where((place >= 0) & (place <= last), weight, tf.zeros_like(weight))
    elif padding == "reflection":
        place = _reflected(place, low, high)
    return tf.cast(tf.clip_by_value(place, 0, last), tf.int32), weight


def _reflected(x: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Mirrors at both borders till it is within."""
    # An axis of one element with its corners aligned has no extent: its only index results from clipping later.
    extent = tf.maximum(high - low, 1)
    offset = tf.math.floormod(x - low, 2 * extent)
    return low + tf.minimum(offset, 2 * extent - offset)


def _triangle(distance: tf.Tensor) -> tf.Tensor:
    return 1 - distance


def _cubic(distance: tf.Tensor) -> tf.Tensor:
    near = ((_CUBIC_A + 2) * distance - (_CUBIC_A + 3)) * distance * distance + 1
    far = ((_CUBIC_A * distance - 5 * _CUBIC_A) * distance + 8 * _CUBIC_A) * distance - 4 * _CUBIC_A
    return tf.where(distance <= 1, near, far)


def _sum_of_taps(values: tf.Tensor, lengths: list[Any], taps: list[_Taps], *, is_weighted: bool) -> tf.Tensor:
    """Values [N, D1 * ... * Dr, C] at every combination of the axes' neighbours, weighted: [N, P, C]."""
    total = None
    wide = tf.float64 if values.dtype in (tf.float64, tf.int32, tf.int64, tf.uint32, tf.uint64) else tf.float32
    for combination in product(*taps):
        index, weight = combination[0]
        for (more, factor), length in zip(combination[1:], lengths[1:], strict=True):
            index, weight = index * length + more, weight * factor
        found = tf.gather(values, index, axis=1, batch_dims=1)
        if not is_weighted:
            return tf.where(tf.expand_dims(weight, -1) > 0, found, tf.zeros_like(found))
        part = tf.cast(found, wide) * tf.expand_dims(tf.cast(weight, wide), -1)
        total = part if total is None else total + part
    return tf.cast(total, values.dtype)


def _centers(length: Any, aligns_corners: bool, real: tf.DType) -> tf.Tensor:
    """From -1 to 1: the centers of that many pixels."""
    steps = tf.cast(tf.range(length), real)
    size = tf.cast(length, real)
    if not aligns_corners:
        return (2 * steps + 1) / size - 1
    # One pixel lies in the middle, as in PyTorch.
    return tf.where(size > 1, 2 * steps / tf.maximum(size - 1, 1) - 1, tf.zeros_like(steps))


@dataclass(frozen=True, slots=True)
class _Line:
    """Along one axis of each region the points in its bins, [R, bins, points] each.

    Attributes:
        taps: the neighbours of the points: indices in the input, int32, and weights.
        exists: which of the points exist: a region may have fewer than another.
    """

    taps: _Taps
    exists: tf.Tensor


def _roi_line(start: tf.Tensor, extent: tf.Tensor, bins: int, ratio: int, length: Any) -> _Line:
    """Where each bin of each region is sampled."""
    real = start.dtype
    size = extent / bins
    counts = tf.ones_like(size) * ratio if ratio > 0 else tf.math.ceil(size)
    most = ratio if ratio > 0 else tf.cast(tf.reduce_max(tf.concat([counts, [1]], 0)), tf.int32)
    steps = tf.cast(tf.range(most), real)
    # The first point of each bin, and how far from it each is.
    offsets = tf.expand_dims((steps + 0.5) * tf.expand_dims(size / tf.maximum(counts, 1), 1), 1)
    firsts = tf.expand_dims(tf.cast(tf.range(bins), real) * tf.expand_dims(size, 1) + tf.expand_dims(start, 1), 2)
    places = firsts + offsets
    exists = tf.logical_and(tf.expand_dims(steps < tf.expand_dims(counts, 1), 1), tf.ones_like(places, tf.bool))
    last = tf.cast(length, real) - 1
    inside = tf.cast((places >= -1) & (places <= last + 1), real)
    places = tf.clip_by_value(places, 0, last)
    low = tf.floor(places)
    high = tf.minimum(low + 1, last)
    share = places - low
    return _Line(
        [(tf.cast(low, tf.int32), (1 - share) * inside), (tf.cast(high, tf.int32), share * inside)],
        exists,
    )


def _roi_bins(start: tf.Tensor, end: tf.Tensor, bins: int, length: Any) -> _Line:
    """The elements in each bin of each region."""
    real = start.dtype
    start = tf.expand_dims(start, 1)
    size = tf.maximum(tf.expand_dims(end, 1) - start + 1, 1) / bins
    edges = tf.cast(tf.range(bins), real) * size
    last = tf.cast(length, real) - 1
    first = tf.clip_by_value(tf.floor(edges) + start, 0, last + 1)
    beyond = tf.clip_by_value(tf.math.ceil(edges + size) + start, 0, last + 1)
    most = tf.cast(tf.reduce_max(tf.concat([tf.reshape(beyond - first, [-1]), [1]], 0)), tf.int32)
    places = tf.expand_dims(first, 2) + tf.cast(tf.range(most), real)
    exists = places < tf.expand_dims(beyond, 2)
    return _Line([(tf.cast(tf.minimum(places, last), tf.int32), tf.ones_like(places))], exists)


def _pooled_rois(x: tf.Tensor, batch_indices: tf.Tensor, lines: list[_Line], mode: str) -> tf.Tensor:
    """Pools the points of each bin: [R, C, height, width]; a bin without any is 0.

    At most four axes at a time, as TFLite's kernels broadcast: [R, rows, columns, C], where the bins follow each other.
    """
    rows, columns = lines
    channels = _length(x, 1)
    values = tf.reshape(tf.transpose(x, [0, 2, 3, 1]), [-1, channels])
    first_row = tf.reshape(tf.cast(batch_indices, tf.int32) * _length(x, 2), [-1, 1])
    exists = tf.logical_and(_down(rows.exists), _across(columns.exists))
    parts = []
    for (row, row_weight), (column, column_weight) in product(rows.taps, columns.taps):
        index = tf.expand_dims((_flat(row) + first_row) * _length(x, 3), 2) + tf.expand_dims(_flat(column), 1)
        parts.append(tf.gather(values, index) * (_down(row_weight) * _across(column_weight)))
    zero = tf.zeros([], x.dtype)
    if mode == "avg":
        total = _over_bins(tf.reduce_sum, tf.where(exists, tf.add_n(parts), zero), rows, columns, channels)
        counts = [tf.reduce_sum(tf.cast(line.exists, x.dtype), axis=2, keepdims=True) for line in lines]
        pooled = total / tf.maximum(_down(counts[0]) * _across(counts[1]), 1)
    else:
        greatest = tf.where(exists, reduce(tf.maximum, parts), tf.constant(x.dtype.min, x.dtype))
        pooled = _over_bins(tf.reduce_max, greatest, rows, columns, channels)
        some = [tf.reduce_any(line.exists, axis=2, keepdims=True) for line in lines]
        pooled = tf.where(tf.logical_and(_down(some[0]), _across(some[1])), pooled, zero)
    return tf.transpose(pooled, [0, 3, 1, 2])


def _flat(points: tf.Tensor) -> tf.Tensor:
    """[R, bins, points] to [R, bins * points]."""
    bins, count = _length(points, 1), _length(points, 2)
    return tf.reshape(points, tf.stack([-1, bins * count]))


def _down(points: tf.Tensor) -> tf.Tensor:
    return tf.expand_dims(tf.expand_dims(_flat(points), 2), 3)


def _across(points: tf.Tensor) -> tf.Tensor:
    return tf.expand_dims(tf.expand_dims(_flat(points), 1), 3)


def _over_bins(
    function: Callable[..., tf.Tensor], points: tf.Tensor, rows: _Line, columns: _Line, channels: Any
) -> tf.Tensor:
    """Reduces [R, height * points, width * points, C] to [R, height, width, C]."""
    height, down = _length(rows.exists, 1), _length(rows.exists, 2)
    width, across = _length(columns.exists, 1), _length(columns.exists, 2)
    lines = function(tf.reshape(points, tf.stack([-1, down, width * across * channels])), axis=1)
    bins = function(tf.reshape(lines, tf.stack([-1, width, across, channels])), axis=2)
    return tf.reshape(bins, tf.stack([-1, height, width, channels]))
