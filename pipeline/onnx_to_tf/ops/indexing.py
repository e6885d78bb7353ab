"""What reads or writes elements at indices, and what finds indices."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import (
    Entry,
    at_rank,
    axis_of,
    dimension,
    dimensions,
    entries,
    from_end,
    reshaped,
    vector,
)
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Indexing")


@ops.register("Gather", 1, 11, 13)
def gather(node: Node, x: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """The slices of an axis at the indices: shape x[:axis] + indices + x[axis + 1:]."""
    axis = axis_of(node, node.integer("axis", 0), at_rank(node, x))
    known = node.static(indices)
    parts = entries(node, x)
    if known is not None and parts is not None:
        if known.ndim == 0:
            part = parts[int(known)]
            return tf.constant(part, x.dtype) if isinstance(part, int) else part
        if known.ndim == 1:
            return vector([parts[index] for index in known.tolist()], x.dtype)
    if known is not None and known.ndim == 0:
        return x[(slice(None),) * axis + (int(known),)]
    if known is None:
        return tf.gather(x, from_end(indices, dimension(x, axis)), axis=axis)
    if x.shape[axis] is not None:
        return tf.gather(x, np.where(known < 0, known + x.shape[axis], known).astype(np.int32), axis=axis)
    return tf.gather(x, indices if (known >= 0).all() else from_end(indices, dimension(x, axis)), axis=axis)


@ops.register("GatherElements", 11, 13)
def gather_elements(node: Node, x: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Of each place in ``indices`` the element at the same place, but along the axis at the index."""
    axis = axis_of(node, node.integer("axis", 0), at_rank(node, x))
    return tf.gather(tf.reshape(x, [-1]), _flat_places(x, indices, axis))


@ops.register("GatherND", 11, 12, 13)
def gather_nd(node: Node, x: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """The slices at the tuples in the last axis of ``indices``, for each entry of the batch axes both have."""
    batch_dims = node.integer("batch_dims", 0)
    depth = indices.shape[-1]
    if depth is None:
        raise node.unsupported("the length of its index tuples is unknown; state the shape of indices")
    sizes = [dimension(x, batch_dims + place) for place in range(depth)]
    return tf.gather_nd(x, _from_end_each(node, indices, sizes), batch_dims=batch_dims)


def _from_end_each(node: Node, indices: tf.Tensor, sizes: Sequence[Entry]) -> tf.Tensor:
    """Index tuples that may be negative, counted from the start of axes of these sizes."""
    known = node.static(indices)
    if known is not None and (known >= 0).all():
        return indices
    return tf.where(indices < 0, indices + vector(sizes, indices.dtype), indices)


@ops.register("Scatter", 9, 11)
@ops.register("ScatterElements", 11, 13, 16, 18)
def scatter_elements(node: Node, x: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor) -> tf.Tensor:
    """The input with elements replaced by, or reduced with, updates: their places are those of `gather_elements`."""
    axis = axis_of(node, node.integer("axis", 0), at_rank(node, x))
    places = tf.reshape(_flat_places(x, indices, axis), [-1])
    scattered = _scattered(node, tf.reshape(x, [-1]), places, tf.reshape(updates, [-1]))
    return reshaped(scattered, dimensions(x))


@ops.register("ScatterND", 11, 13, 16, 18)
def scatter_nd(node: Node, x: tf.Tensor, indices: tf.Tensor, updates: tf.Tensor) -> tf.Tensor:
    """The input with slices replaced by, or reduced with, updates: their places are the tuples of the last axis."""
    depth = indices.shape[-1]
    if depth is None:
        raise node.unsupported("the length of its index tuples is unknown; state the shape of indices")
    sizes = dimensions(x)
    rank = at_rank(node, x)
    outer, inner = sizes[:depth], sizes[depth:]
    tuples = tf.cast(_from_end_each(node, indices, outer), tf.int32)
    places = tf.reshape(tf.reduce_sum(tuples * vector(_strides(outer)), -1), [-1])
    if depth == rank:
        rows, new = tf.reshape(x, [-1]), tf.reshape(updates, [-1])
    else:
        rows = reshaped(x, [_product(outer), *inner])
        new = reshaped(updates, [dimension(places, 0), *inner])
    return reshaped(_scattered(node, rows, places, new), sizes)


def _flat_places(x: tf.Tensor, indices: tf.Tensor, axis: int) -> tf.Tensor:
    """The places in the flattened input that indices along one axis mean, of the shape of the indices; int32."""
    sizes = dimensions(x)
    strides = _strides(sizes)
    places = tf.cast(from_end(indices, sizes[axis]), tf.int32) * strides[axis]
    for other, stride in enumerate(strides):
        if other != axis and indices.shape[other] != 1:
            shape = [-1 if at == other else 1 for at in range(len(sizes))]
            places += tf.reshape(tf.range(dimension(indices, other)) * stride, shape)
    return places


def _strides(sizes: Sequence[Entry]) -> list[Entry]:
    """How many elements lie between neighbours of each axis."""
    return [_product(sizes[axis + 1 :]) for axis in range(len(sizes))]


def _product(sizes: Sequence[Entry]) -> Entry:
    product: Entry = 1
    for size in sizes:
        product = product * size
    return product


def _scattered(node: Node, rows: tf.Tensor, places: tf.Tensor, updates: tf.Tensor) -> tf.Tensor:
    """Rows [n, ...] with updates [m, ...] at places [m]; of several at one place the last one counts, as elsewhere."""
    reduction = node.text("reduction", "none")
    count = dimension(rows, 0)
    if reduction == "none":
        last = tf.math.unsorted_segment_max(tf.range(tf.shape(places)[0]), places, count)
        source = tf.where(last < 0, tf.range(count), last + count)
        return tf.gather(tf.concat([rows, updates], 0), source)
    if reduction not in _REDUCTIONS:
        raise node.unsupported(f"its reduction is {reduction!r}; those known are none, {', '.join(_REDUCTIONS)}")
    if rows.dtype == tf.bool:
        # or is max, and is min
        return tf.cast(
            _REDUCTIONS[reduction](tf.cast(rows, tf.int32), places, tf.cast(updates, tf.int32), count), tf.bool
        )
    return _REDUCTIONS[reduction](rows, places, updates, count)


def _extreme(
    of_two: Callable[..., tf.Tensor], of_segments: Callable[..., tf.Tensor], infinity: float
) -> Callable[..., tf.Tensor]:
    """The larger or the smaller of the rows and the updates."""

    def reduced(rows: tf.Tensor, places: tf.Tensor, updates: tf.Tensor, count: Entry) -> tf.Tensor:
        best = of_segments(updates, places, count)
        if rows.dtype.is_floating:
            # TensorFlow starts with the type's largest finite number, which is not the same for infinite ones.
            bounded = tf.cast(updates != tf.constant(infinity, updates.dtype), tf.int32)
            has_bounded = tf.math.unsorted_segment_max(bounded, places, count) > 0
            best = tf.where(has_bounded, best, tf.constant(infinity, updates.dtype))
        return of_two(rows, best)

    return reduced


_REDUCTIONS: dict[str, Callable[..., tf.Tensor]] = {
    "add": lambda rows, places, updates, count: rows + tf.math.unsorted_segment_sum(updates, places, count),
    "mul": lambda rows, places, updates, count: rows * tf.math.unsorted_segment_prod(updates, places, count),
    "max": _extreme(tf.maximum, tf.math.unsorted_segment_max, -np.inf),
    "min": _extreme(tf.minimum, tf.math.unsorted_segment_min, np.inf),
}


@ops.register("OneHot", 9, 11)
def one_hot(node: Node, indices: tf.Tensor, depth: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The second of the values at the index, the first elsewhere, along a new axis; an index too large is nowhere."""
    known = node.static_integers(depth)
    depth = tf.cast(tf.reshape(depth, []), tf.int32) if known is None else known[0]
    indices = tf.cast(indices, tf.int32 if indices.dtype == tf.int32 else tf.int64)
    rank = at_rank(node, indices) + 1
    axis = axis_of(node, node.integer("axis", -1), rank)
    placed = from_end(indices, depth)
    return tf.one_hot(placed, depth, values[1], values[0], axis=-1 if axis == rank - 1 else axis)


@ops.register("NonZero", 9, 13)
def non_zero(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The indices of the elements that are not 0: [rank, number]."""
    return tf.transpose(tf.where(x if x.dtype == tf.bool else x != tf.zeros([], x.dtype)))


@ops.register("TopK", 1, 10, 11, 24)
def top_k(node: Node, x: tf.Tensor, k: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """The ``k`` largest or smallest along an axis, sorted, and their int64 indices; of equals the first ones."""
    known = [node.integer("k")] if k is None else node.static_integers(k)
    count = tf.cast(tf.reshape(k, []), tf.int32) if known is None else known[0]
    rank = at_rank(node, x)
    axis = axis_of(node, node.integer("axis", -1), rank)
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    is_last = axis == rank - 1
    x = x if is_last else tf.transpose(x, order)
    if node.integer("largest", 1):
        values, places = tf.math.top_k(x, count)
    else:
        values, places = tf.math.top_k(_opposite(x), count)
        values = _opposite(values)
    if not is_last:
        values, places = tf.transpose(values, order), tf.transpose(places, order)
    return values, tf.cast(places, tf.int64)


def _opposite(x: tf.Tensor) -> tf.Tensor:
    """Values in the opposite order, and back: no number of a type overflows."""
    if x.dtype.is_floating:
        return -x
    if x.dtype.is_unsigned:
        return tf.constant(x.dtype.max, x.dtype) - x
    # Not -1 - x: TensorFlow Lite's converter (2.21) turns a constant minus a transposed tensor around.
    return -x - tf.ones([], x.dtype)


@ops.register("Unique", 11)
def unique(node: Node, x: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The distinct elements or slices of an axis; where each comes first, which one each is, how often it comes."""
    is_sorted = bool(node.integer("sorted", 1))
    if node.has("axis"):
        axis = axis_of(node, node.integer("axis"), at_rank(node, x))
    else:
        x, axis = tf.reshape(x, [-1]), 0
    if is_sorted and x.dtype == tf.string:
        raise node.unsupported("it sorts strings; with sorted = 0 it would do")
    if node.has("axis") and x.shape.rank > 1:
        if x.dtype == tf.string:
            raise node.unsupported("it compares slices of strings; without an axis it would do")
        slices = _first(x, axis)
        if x.shape.rank > 2:
            sizes = dimensions(slices)
            slices = reshaped(slices, [sizes[0], _product(sizes[1:])])
        members = _members_of_slices(slices)
    else:
        distinct, members = tf.unique(x)
        if is_sorted:
            members = tf.gather(_places(tf.argsort(distinct, stable=True)), members)
    count = tf.reduce_max(tf.concat([members, [-1]], 0)) + 1
    first = tf.math.unsorted_segment_min(tf.range(tf.shape(members)[0]), members, count)
    if not is_sorted:
        order = tf.argsort(first)
        first, members = tf.gather(first, order), tf.gather(_places(order), members)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(members), members, count)
    return tf.gather(x, first, axis=axis), *(tf.cast(found, tf.int64) for found in (first, members, counts))


def _first(x: tf.Tensor, axis: int) -> tf.Tensor:
    """The axis moved to the front."""
    return x if axis == 0 else tf.transpose(x, [axis, *(a for a in range(x.shape.rank) if a != axis)])


def _places(order: tf.Tensor) -> tf.Tensor:
    """For each element its place in the order: the order's inverse."""
    return tf.argsort(order)


def _members_of_slices(slices: tf.Tensor) -> tf.Tensor:
    """For each row of [n, m] which of the distinct rows it is, these sorted by their first column, then the next."""
    count, length = tf.shape(slices)[0], tf.shape(slices)[1]
    columns = tf.transpose(slices)

    def by_column(left: tf.Tensor, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return left - 1, tf.gather(order, tf.argsort(tf.gather(columns[left - 1], order), stable=True))

    # A stable sort by each column from the last to the first is one by all of them.
    _, order = tf.while_loop(
        lambda left, order: left > 0,
        by_column,
        (length, tf.range(count)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )
    ordered = tf.gather(slices, order)
    is_new = tf.reduce_any(ordered[1:] != ordered[:-1], axis=1)
    numbers = tf.concat([tf.zeros_like(order[:1]), tf.cumsum(tf.cast(is_new, tf.int32))], 0)
    return tf.gather(numbers, _places(order))
