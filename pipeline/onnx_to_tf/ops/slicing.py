"""What takes parts of a tensor, joins tensors, or extends one at its edges."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import (
    Entry,
    at_rank,
    axis_of,
    dimension,
    entries,
    entries_or_parts,
    from_end,
    vector,
)
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Slicing, joining and padding")

_LARGEST = 2**31 - 1
"""ONNX's way to say "to the end" is a number beyond this; TensorFlow Lite counts in 32 bits."""


@ops.register("Slice", 1, 10, 11, 13)
def slice_(
    node: Node,
    x: tf.Tensor,
    starts: tf.Tensor | None = None,
    ends: tf.Tensor | None = None,
    axes: tf.Tensor | None = None,
    steps: tf.Tensor | None = None,
) -> tf.Tensor:
    """From start to end of each of the axes, as in Python, but that an end before the first element is a low number."""
    rank = at_rank(node, x)
    if node.version == 1:
        first: list[Entry] = list(node.integers("starts"))
        last: list[Entry] = list(node.integers("ends"))
        stated = node.integers("axes", None) or list(range(len(first)))
        return _sliced(node, x, stated, first, last, [1] * len(first))
    if axes is not None and node.static(axes) is None:
        return _slice_at_runtime(x, rank, starts, ends, axes, steps)
    first, last = entries_or_parts(node, starts), entries_or_parts(node, ends)
    by = [1] * len(first) if steps is None else entries_or_parts(node, steps)
    stated = node.static_integers(axes) or list(range(len(first)))
    return _sliced(node, x, stated, first, last, by)


def _sliced(
    node: Node,
    x: tf.Tensor,
    axes: Sequence[int],
    starts: Sequence[Entry],
    ends: Sequence[Entry],
    steps: Sequence[Entry],
) -> tf.Tensor:
    rank = at_rank(node, x)
    parts = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis_of(node, axis, rank)] = _part(x, axis_of(node, axis, rank), start, end, step)
    known = entries(node, x)
    if known is not None and all(isinstance(bound, int | None) for p in parts for bound in (p.start, p.stop, p.step)):
        return vector(known[parts[0]], x.dtype)
    if any(_is_empty(part) for part in parts):
        # TFLite's kernel takes an end of 0 for the end of the axis.
        sizes = [0 if _is_empty(part) else dimension(x[tuple(parts)], at) for at, part in enumerate(parts)]
        return tf.zeros(sizes if all(isinstance(size, int) for size in sizes) else tf.stack(sizes), x.dtype)
    return x if all(part == slice(None) for part in map(_plain, parts)) else x[tuple(parts)]


def _is_empty(part: slice) -> bool:
    """Whether a slice has no element, whatever the size of its axis."""
    start, stop, step = 0 if part.start is None else part.start, part.stop, part.step
    is_known = isinstance(start, int) and isinstance(stop, int) and step is None
    return is_known and 0 <= stop <= start


def _part(x: tf.Tensor, axis: int, start: Entry, end: Entry, step: Entry) -> slice:
    """ONNX's bounds as Python's; None where that is the whole side."""
    size = x.shape[axis]
    is_forward = isinstance(step, int) and step > 0
    if not is_forward and not (isinstance(start, int) and start >= -1):
        # ONNX moves a start before the first element to it, Python only where it goes forward.
        least = -dimension(x, axis)
        both_known = isinstance(start, int) and isinstance(least, int)
        start = max(start, least) if both_known else tf.maximum(_bound(start), least)
    if isinstance(step, int):
        if size is not None and isinstance(start, int) and isinstance(end, int):
            start, end, _ = slice(start, end, step).indices(size)
            first, last = (0, size) if is_forward else (size - 1, -1)
            # Python says "to the first element" by None alone; -1 would be the last one.
            start, end = None if start == first else start, None if end == last else end
        if isinstance(start, int) and (start == 0 if is_forward else start >= _LARGEST):
            start = None
        if isinstance(end, int) and (end >= _LARGEST if is_forward else end <= -_LARGEST):
            end = None
    return slice(_bound(start), _bound(end), None if isinstance(step, int) and step == 1 else _bound(step))


def _bound(value: Entry | None) -> Entry | None:
    if value is None:
        return None
    if isinstance(value, int):
        return min(max(value, -_LARGEST), _LARGEST)
    return _narrowed(value)


def _narrowed(value: tf.Tensor) -> tf.Tensor:
    """Bounds in 32 bits: TensorFlow Lite would cut off the upper ones."""
    return value if value.dtype == tf.int32 else tf.cast(tf.clip_by_value(value, -_LARGEST, _LARGEST), tf.int32)


def _plain(part: slice) -> Any:
    """Slices of tensors do not compare."""
    bounds = (part.start, part.stop, part.step)
    return part if all(isinstance(bound, int | None) for bound in bounds) else None


def _slice_at_runtime(
    x: tf.Tensor, rank: int, starts: tf.Tensor, ends: tf.Tensor, axes: tf.Tensor, steps: tf.Tensor | None
) -> tf.Tensor:
    steps = tf.ones_like(starts) if steps is None else steps
    # ONNX moves a start before the first element to it, Python only where it goes forward.
    starts = tf.maximum(_spread(_narrowed(starts), axes, rank, 0), -tf.shape(x))
    return tf.strided_slice(
        x,
        starts,
        _spread(_narrowed(ends), axes, rank, _LARGEST),
        _spread(_narrowed(steps), axes, rank, 1),
    )


def _spread(values: tf.Tensor, axes: tf.Tensor, rank: int, default: int) -> tf.Tensor:
    """int32 of shape [rank]: each value at its axis, the default at the others."""
    places = tf.one_hot(from_end(axes, rank), rank, dtype=tf.int32)
    return tf.reduce_sum(places * values[:, None], 0) + default * (1 - tf.reduce_sum(places, 0))


@ops.register("Split", 1, 2, 11, 13, 18)
def split(node: Node, x: tf.Tensor, sizes: tf.Tensor | None = None) -> tuple[tf.Tensor, ...]:
    """Parts along an axis, of the sizes that are stated, else equal but perhaps for the last."""
    rank = at_rank(node, x)
    axis = axis_of(node, node.integer("axis", 0), rank)
    count = len(node.node.outputs)
    stated: list[Entry] | None = node.integers("split") if node.has("split") else None
    if sizes is not None:
        stated = entries_or_parts(node, sizes)
    whole = dimension(x, axis)
    if stated is None:
        if isinstance(whole, int):
            stated = _equal(whole, count)
        elif node.version < 18 or count == 1:
            return tuple(tf.split(x, count, axis))
        else:
            stated = _equal_at_runtime(whole, count)
    known = entries(node, x)
    if all(isinstance(part, int) for part in stated):
        ends = np.cumsum(stated)
        if known is not None:
            return tuple(vector(known[end - part : end], x.dtype) for part, end in zip(stated, ends, strict=True))
        return tuple(tf.split(x, stated, axis))
    # TensorFlow Lite splits by sizes that are known alone.
    parts, start = [], 0
    for part in stated:
        end = start + (part if isinstance(part, int) else tf.cast(part, tf.int32))
        parts.append(x[(slice(None),) * axis + (slice(start, end),)])
        start = end
    return tuple(parts)


def _equal(whole: int, count: int) -> list[Entry]:
    part = -(-whole // count)
    return [max(min(whole - place * part, part), 0) for place in range(count)]


def _equal_at_runtime(whole: tf.Tensor, count: int) -> list[Entry]:
    part = (whole + count - 1) // count
    return [tf.clip_by_value(whole - place * part, 0, part) for place in range(count)]


@ops.register("Concat", 1, 4, 11, 13)
def concat(node: Node, *parts: tf.Tensor) -> tf.Tensor:
    """Joined along an axis."""
    axis = node.integer("axis", 1) if node.version == 1 else node.integer("axis")
    if len(parts) == 1:
        return parts[0]
    known = [entries(node, part) for part in parts]
    joined = [entry for part in known if part is not None for entry in part]
    if all(part is not None for part in known):
        return vector(joined, parts[0].dtype)
    return tf.concat(parts, axis)


@ops.register("Pad", 1, 2, 11, 13, 18, 19, 21, 23, 24, 25)
def pad(
    node: Node,
    x: tf.Tensor,
    pads: tf.Tensor | None = None,
    value: tf.Tensor | None = None,
    axes: tf.Tensor | None = None,
) -> tf.Tensor:
    """Extended at the edges; a negative number cuts off, before the other edges are extended.

    Modes: ``constant``, ``reflect`` (without the edge itself), ``edge``, ``wrap``.
    """
    rank = at_rank(node, x)
    mode = node.text("mode", "constant")
    amounts = _amounts(node, rank, pads, axes)
    x = x[tuple(slice(*_cut(x, axis, *amount)) for axis, amount in enumerate(amounts))] if _cuts(amounts) else x
    added = [(_positive(before), _positive(after)) for before, after in amounts]
    if mode == "constant":
        if pads is None:
            value = tf.constant(node.number("value", 0.0), x.dtype)
        return _pad_constant(x, added, value)
    if mode == "reflect" and _mirrors(x, added):
        return tf.pad(x, added, "REFLECT")
    if mode not in _PLACES:
        raise node.unsupported(f"its mode is {mode!r}; those known are constant, {', '.join(_PLACES)}")
    for axis, (before, after) in enumerate(added):
        if not (isinstance(before, int) and isinstance(after, int) and before == after == 0):
            size = dimension(x, axis)
            x = tf.gather(x, _PLACES[mode](tf.range(-before, size + after), size), axis=axis)
    return x


def _amounts(node: Node, rank: int, pads: tf.Tensor | None, axes: tf.Tensor | None) -> list[tuple[Entry, Entry]]:
    """What is put before and behind each axis."""
    if pads is None:
        flat: list[Entry] = list(node.integers("paddings" if node.version == 1 else "pads"))
        return list(zip(flat[:rank], flat[rank:], strict=True))
    stated = node.static_integers(axes)
    if axes is not None and stated is None:
        halves = tf.reshape(_narrowed(pads), [2, -1])
        flat = [half[axis] for half in (_spread(halves[i], axes, rank, 0) for i in (0, 1)) for axis in range(rank)]
        return list(zip(flat[:rank], flat[rank:], strict=True))
    places = list(range(rank)) if stated is None else [axis_of(node, axis, rank) for axis in stated]
    if pads.shape[0] is None and entries(node, pads) is None:
        pads = tf.ensure_shape(pads, [2 * len(places)])
    flat = [p if isinstance(p, int) else tf.cast(p, tf.int32) for p in entries_or_parts(node, pads)]
    found: list[tuple[Entry, Entry]] = [(0, 0)] * rank
    for place, before, after in zip(places, flat[: len(places)], flat[len(places) :], strict=True):
        found[place] = (before, after)
    return found


def _cuts(amounts: Sequence[tuple[Entry, Entry]]) -> bool:
    return any(not isinstance(amount, int) or amount < 0 for pair in amounts for amount in pair)


def _cut(x: tf.Tensor, axis: int, before: Entry, after: Entry) -> tuple[Entry | None, Entry | None]:
    """Start and end of what negative amounts leave of an axis."""
    start = (-before if before < 0 else None) if isinstance(before, int) else tf.maximum(-before, 0)
    if isinstance(after, int):
        return start, after if after < 0 else None
    return start, dimension(x, axis) + tf.minimum(after, 0)


def _positive(amount: Entry) -> Entry:
    return max(amount, 0) if isinstance(amount, int) else tf.maximum(amount, 0)


def _pad_constant(x: tf.Tensor, added: Sequence[tuple[Entry, Entry]], value: tf.Tensor | None) -> tf.Tensor:
    paddings = tf.reshape(vector([amount for pair in added for amount in pair]), [-1, 2])
    if value is None:
        return tf.pad(x, paddings, constant_values="" if x.dtype == tf.string else 0)
    return tf.pad(x, paddings, constant_values=tf.reshape(value, []))


def _mirrors(x: tf.Tensor, added: Sequence[tuple[Entry, Entry]]) -> bool:
    """Whether TensorFlow's own operator serves: it reflects once, and where a size is unknown it checks that at run."""
    return x.shape.rank <= 5 and all(
        isinstance(before, int) and isinstance(after, int) and (size is None or max(before, after) < size)
        for size, (before, after) in zip(x.shape, added, strict=True)
    )


def _reflected(places: tf.Tensor, size: Entry) -> tf.Tensor:
    period = 2 * (size - 1)
    period = max(period, 1) if isinstance(period, int) else tf.maximum(period, 1)
    wrapped = tf.math.floormod(places, period)
    return tf.minimum(tf.minimum(wrapped, period - wrapped), size - 1)


_PLACES = {
    "reflect": _reflected,
    "edge": lambda places, size: tf.clip_by_value(places, 0, size - 1),
    "wrap": tf.math.floormod,
}
"""For each mode where the elements come from: their places, which run beyond both edges, within the size."""


@ops.register("Tile", 1, 6, 13)
def tile(node: Node, x: tf.Tensor, repeats: tf.Tensor, axis: tf.Tensor | None = None) -> tf.Tensor:
    """Repeated along each axis; version 1 along one."""
    if node.version == 1:
        stated = node.static_integers(axis)
        if stated is None:
            raise node.unsupported("its axis is known only when the model runs; make it an initializer")
        rank = at_rank(node, x)
        place = axis_of(node, stated[0], rank)
        return tf.tile(x, vector([tf.reshape(repeats, []) if at == place else 1 for at in range(rank)]))
    known = entries(node, repeats)
    return tf.tile(x, tf.cast(repeats, tf.int32) if known is None else vector(known))


@ops.register("Trilu", 14)
def trilu(node: Node, x: tf.Tensor, k: tf.Tensor | None = None) -> tf.Tensor:
    """The upper or lower triangle of each matrix, from or to the ``k``-th diagonal, zeros elsewhere."""
    rows, columns = tf.range(dimension(x, -2)), tf.range(dimension(x, -1))
    diagonal = 0 if k is None else _narrowed(tf.reshape(k, []))
    above = columns[None, :] - rows[:, None]
    kept = above >= diagonal if node.integer("upper", 1) else above <= diagonal
    return tf.where(kept, x, tf.zeros([], x.dtype))


@ops.register("Compress", 9, 11)
def compress(node: Node, x: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
    """What the condition, which may be shorter than the axis, selects along the axis, or of all elements."""
    places = tf.where(condition)[:, 0]
    if node.has("axis"):
        return tf.gather(x, places, axis=axis_of(node, node.integer("axis"), at_rank(node, x)))
    return tf.gather(tf.reshape(x, [-1]), places)


@ops.register("CenterCropPad", 18)
def center_crop_pad(node: Node, x: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Cut or padded with zeros to a shape, as much at both ends; the odd element at the end."""
    rank = at_rank(node, x)
    axes = [axis_of(node, axis, rank) for axis in node.integers("axes", None)] or list(range(rank))
    wanted = dict(zip(axes, entries_or_parts(node, target), strict=True))
    parts, added = [slice(None)] * rank, [(0, 0)] * rank
    for axis, size in wanted.items():
        own = dimension(x, axis)
        more = (size if isinstance(size, int) else tf.cast(size, tf.int32)) - own
        if isinstance(more, int):
            less, more = max(-more, 0), max(more, 0)
        else:
            less, more = tf.maximum(-more, 0), tf.maximum(more, 0)
        parts[axis] = slice(less // 2, less // 2 + own - less)
        added[axis] = (more // 2, more - more // 2)
    return _pad_constant(x[tuple(parts)], added, None)


@ops.register("DepthToSpace", 1, 11, 13)
def depth_to_space(node: Node, x: tf.Tensor) -> tf.Tensor:
    """[n, c * b * b, h, w] to [n, c, h * b, w * b]; ``CRD`` has the channels in another order than TensorFlow."""
    block = node.integer("blocksize")
    mode = node.text("mode", "DCR")
    x = tf.transpose(x, [0, 2, 3, 1])
    if mode == "CRD":
        if x.shape[-1] is None:
            raise node.unsupported("the number of its channels is unknown; state the shapes of the model's inputs")
        order = np.arange(x.shape[-1], dtype=np.int32).reshape(-1, block * block).T.ravel()
        x = tf.gather(x, order, axis=3)
    elif mode != "DCR":
        raise node.unsupported(f"its mode is {mode!r}; those known are DCR and CRD")
    return tf.transpose(tf.nn.depth_to_space(x, block) if block > 1 else x, [0, 3, 1, 2])


@ops.register("SpaceToDepth", 1, 13)
def space_to_depth(node: Node, x: tf.Tensor) -> tf.Tensor:
    """[n, c, h * b, w * b] to [n, b * b * c, h, w]."""
    block = node.integer("blocksize")
    if block == 1:
        return x
    return tf.transpose(tf.nn.space_to_depth(tf.transpose(x, [0, 2, 3, 1]), block), [0, 3, 1, 2])


@ops.register("ReverseSequence", 10)
def reverse_sequence(node: Node, x: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """The first elements of each sequence of a batch, as many as its length, in reverse order."""
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    return tf.reverse_sequence(x, lengths, seq_axis=time, batch_axis=batch)
