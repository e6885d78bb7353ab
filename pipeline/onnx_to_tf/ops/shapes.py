"""What gives, states or rearranges shapes, and tensors made from a shape alone."""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
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

ops = Family("Shapes")


@ops.register("Shape", 1, 13, 15, 19, 21, 23, 24, 25)
def shape(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The sizes of the axes from ``start`` to ``end``; those that are known are constants."""
    start, end = node.integer("start", 0), node.integer("end") if node.has("end") else None
    if x.shape.rank is None:
        return tf.cast(tf.shape(x)[start:end], tf.int64)
    return vector(dimensions(x, tf.int64)[start:end], tf.int64)


@ops.register("Size", 1, 13, 19, 21, 23, 24, 25)
def size(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The number of elements."""
    if x.shape.is_fully_defined():
        return tf.constant(x.shape.num_elements(), tf.int64)
    return tf.size(x, out_type=tf.int64)


@ops.register("Reshape", 1, 5, 13, 14, 19, 21, 23, 24, 25)
def reshape(node: Node, x: tf.Tensor, target: tf.Tensor | None = None) -> tf.Tensor:
    """The same elements in another shape: 0 keeps the axis at its place, unless ``allowzero``; -1 is what remains."""
    keeps = not node.integer("allowzero", 0)
    wanted: list[Entry] | None = node.integers("shape") if target is None else entries(node, target)
    if wanted is not None:
        return reshaped(x, _target(node, x, wanted, keeps=keeps))
    wanted_vector = tf.cast(target, tf.int32)
    if keeps:
        length = dimension(wanted_vector, 0)
        own = tf.pad(tf.shape(x), [[0, tf.maximum(length - tf.rank(x), 0)]])[:length]
        wanted_vector = tf.where(wanted_vector == 0, own, wanted_vector)
    return tf.reshape(x, wanted_vector)


def _target(node: Node, x: tf.Tensor, wanted: Sequence[Entry], *, keeps: bool) -> list[Entry]:
    """The target shape, as much of it as can be known; -1 stands for an axis that the others determine."""
    found = [_kept(node, x, axis, size) if keeps else size for axis, size in enumerate(wanted)]
    known = [size for size in found if isinstance(size, int) and size != -1]
    if len(known) < len(found) and -1 in [size for size in found if isinstance(size, int)]:
        remaining = _remaining(x, [size for size in found if not isinstance(size, int)], known)
        found = [remaining if isinstance(size, int) and size == -1 else size for size in found]
    return found


def _kept(node: Node, x: tf.Tensor, axis: int, size: Entry) -> Entry:
    """A size that is the input's own where it is 0."""
    if isinstance(size, int) and size:
        return size
    if not isinstance(size, int) and (_source(size) is not None or axis >= at_rank(node, x)):
        # A size that was taken from a tensor is 0 only where that has no elements.
        return size
    if axis >= at_rank(node, x):
        raise node.unsupported(f"axis {axis} of the shape is 0, to keep that of a tensor of rank {x.shape.rank}")
    own = dimension(x, axis)
    return own if isinstance(size, int) else tf.where(tf.equal(size, 0), tf.cast(own, size.dtype), size)


def _remaining(x: tf.Tensor, unknown: Sequence[tf.Tensor], known: Sequence[int]) -> int:
    """What -1 stands for, where the unknown sizes are just those of the unknown axes of the input, else -1."""
    if x.shape.rank is None or 0 in known:
        return -1
    own_unknown = sorted(axis for axis, size in enumerate(x.shape) if size is None)
    sources = [_source(size) for size in unknown]
    if any(source is None or source[0] is not x for source in sources):
        return -1
    if sorted(source[1] for source in sources if source is not None) != own_unknown:
        return -1
    rest, left = divmod(math.prod(size for size in x.shape if size is not None), math.prod(known))
    return -1 if left else rest


def _source(size: tf.Tensor) -> tuple[tf.Tensor, int] | None:
    """The tensor and the axis that a size was taken from, where it is a slice of a ``tf.shape``."""
    if not hasattr(size, "op"):
        return None
    op = size.op
    while op.type in ("Cast", "Identity"):
        op = op.inputs[0].op
    if op.type != "StridedSlice" or op.inputs[0].op.type != "Shape":
        return None
    begin = tf.get_static_value(op.inputs[1])
    return None if begin is None or begin.size != 1 else (op.inputs[0].op.inputs[0], int(begin[0]))


@ops.register("Flatten", 1, 9, 11, 13, 21, 23, 24, 25)
def flatten(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The shape [product of the axes before ``axis``, product of the others]."""
    rank = at_rank(node, x)
    axis = node.integer("axis", 1)
    axis = axis + rank if axis < 0 else axis
    before, after = (_product(x.shape[:axis]), _product(x.shape[axis:]))
    if after is None and before is None:
        return tf.reshape(x, tf.stack([tf.reduce_prod(tf.shape(x)[:axis]), tf.reduce_prod(tf.shape(x)[axis:])]))
    if after is None:
        return tf.reshape(x, [before, -1] if before else [0, tf.reduce_prod(tf.shape(x)[axis:])])
    if before is None:
        return tf.reshape(x, [-1, after] if after else [tf.reduce_prod(tf.shape(x)[:axis]), 0])
    return tf.reshape(x, [before, after])


def _product(shape: tf.TensorShape) -> int | None:
    return math.prod(shape) if shape.is_fully_defined() else None


@ops.register("Squeeze", 1, 11, 13, 21, 23, 24, 25)
def squeeze(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """Without the axes of size 1 that ``axes`` names; without all of them where it names none."""
    stated = node.integers("axes") if node.has("axes") else node.static_integers(axes)
    if stated is not None:
        known = entries(node, x)
        if known is not None and len(known) == 1:
            return _scalar(known[0], x.dtype) if stated else x
        return tf.squeeze(x, stated) if stated else x
    if axes is None:
        if x.shape.is_fully_defined():
            return tf.squeeze(x)
        sizes = tf.shape(x)
        return tf.reshape(x, tf.boolean_mask(sizes, sizes != 1))
    rank = at_rank(node, x)
    left = tf.reduce_sum(tf.one_hot(from_end(axes, rank), rank, dtype=tf.int32), 0) == 0
    squeezed = tf.reshape(x, tf.boolean_mask(tf.shape(x), left))
    if axes.shape.is_fully_defined():
        squeezed.set_shape([None] * (rank - axes.shape.num_elements()))
    return squeezed


def _scalar(value: Entry, dtype: tf.DType) -> tf.Tensor:
    return tf.constant(value, dtype) if isinstance(value, int) else tf.cast(value, dtype)


@ops.register("Unsqueeze", 1, 11, 13, 21, 23, 24, 25)
def unsqueeze(node: Node, x: tf.Tensor, axes: tf.Tensor | None = None) -> tf.Tensor:
    """With axes of size 1 put in; ``axes`` counts in the result."""
    stated = node.integers("axes") if axes is None else node.static_integers(axes)
    if stated is None:
        return _unsqueeze_at_runtime(node, x, axes)
    if x.shape.rank == 0 and len(stated) == 1:
        return tf.stack([x])
    rank = at_rank(node, x) + len(stated)
    for axis in sorted(axis_of(node, axis, rank) for axis in stated):
        x = tf.expand_dims(x, axis)
    return x


def _unsqueeze_at_runtime(node: Node, x: tf.Tensor, axes: tf.Tensor) -> tf.Tensor:
    if not axes.shape.is_fully_defined():
        raise node.unsupported("how many axes it puts in is unknown; state the shape of axes")
    rank = at_rank(node, x) + axes.shape.num_elements()
    is_new = tf.reduce_sum(tf.one_hot(from_end(tf.reshape(axes, [-1]), rank), rank, dtype=tf.int32), 0)
    # The place in the input of each axis of the result; a new one takes the 1 behind the last.
    place = tf.where(is_new == 1, x.shape.rank, tf.cumsum(1 - is_new) - 1)
    unsqueezed = tf.reshape(x, tf.gather(tf.concat([tf.shape(x), [1]], 0), place))
    unsqueezed.set_shape([None] * rank)
    return unsqueezed


@ops.register("Expand", 8, 13)
def expand(node: Node, x: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Broadcast with a shape, both ways: an axis of the input may be larger than the target's."""
    wanted = entries(node, target)
    if wanted is None or x.shape.rank is None:
        return tf.broadcast_to(x, tf.broadcast_dynamic_shape(tf.shape(x), tf.cast(target, tf.int32)))
    own = dimensions(x)
    rank = max(len(own), len(wanted))
    own = [1] * (rank - len(own)) + own
    wanted = [1] * (rank - len(wanted)) + wanted
    sizes = [_broadcast(a, b) for a, b in zip(own, wanted, strict=True)]
    if all(isinstance(size, int) for size in sizes) and x.shape.as_list() == sizes:
        return x
    return tf.broadcast_to(x, vector(sizes))


def _broadcast(own: Entry, wanted: Entry) -> Entry:
    if isinstance(wanted, int):
        return own if wanted == 1 else wanted
    if isinstance(own, int):
        return wanted if own == 1 else own
    wanted = tf.cast(wanted, own.dtype)
    return tf.where(tf.equal(wanted, 1), own, wanted)


@ops.register("Transpose", 1, 13, 21, 23, 24, 25)
def transpose(node: Node, x: tf.Tensor) -> tf.Tensor:
    """The axes in the order ``perm``, by default from last to first."""
    if not node.has("perm"):
        return tf.transpose(x)
    order = node.integers("perm")
    return x if order == list(range(len(order))) else tf.transpose(x, order)


@ops.register("ConstantOfShape", 9, 20, 21, 23, 24, 25)
def constant_of_shape(node: Node, target: tf.Tensor) -> tf.Tensor:
    """A tensor filled with ``value``, by default the float32 0."""
    value = node.array("value").reshape(()) if node.has("value") else np.float32(0)
    sizes = entries(node, target)
    return tf.fill(target if sizes is None else vector(sizes), tf.constant(value))


@ops.register("EyeLike", 9, 22)
def eye_like(node: Node, x: tf.Tensor) -> tf.Tensor:
    """Ones on a diagonal, ``k`` above the main one, in a matrix of the input's shape."""
    dtype = tensorflow_dtype(ir.DataType(node.integer("dtype"))) if node.has("dtype") else x.dtype
    rows, columns = tf.range(dimension(x, 0)), tf.range(dimension(x, 1))
    return tf.cast(rows[:, None] + node.integer("k", 0) == columns[None, :], dtype)


@ops.register("Range", 11)
def range_(node: Node, start: tf.Tensor, limit: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
    """Numbers from ``start``, ``delta`` apart, before ``limit``: none where that lies on the other side."""
    dtype = tf.int32 if start.dtype == tf.int16 else start.dtype
    first, last, step = (tf.cast(tf.reshape(bound, []), dtype) for bound in (start, limit, delta))
    known = node.static(delta)
    if known is None:
        last = tf.where(step > 0, tf.maximum(first, last), tf.minimum(first, last))
    else:
        last = tf.maximum(first, last) if known > 0 else tf.minimum(first, last)
    return tf.cast(tf.range(first, last, step), start.dtype)
