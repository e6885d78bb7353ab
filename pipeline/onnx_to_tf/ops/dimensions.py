"""Shapes as lists of entries: a whole number where it is known, a scalar of TensorFlow where it is not.

Exporters compute shapes by operators (Shape, Gather, Concat, Reshape). A vector that `vector` makes is a ``tf.stack``
of scalars: `entries` takes it apart again, and TensorFlow's own shape inference sees through it.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node

__all__ = [
    "Entry",
    "at_rank",
    "axis_of",
    "dimension",
    "dimensions",
    "entries",
    "entries_or_parts",
    "from_end",
    "reshaped",
    "vector",
]

Entry = Any
"""``int``, or a scalar ``tf.Tensor`` of a type of whole numbers."""

_LONGEST = 64
"""Entries: a longer vector is data, not a shape."""


def at_rank(node: Node, x: tf.Tensor) -> int:
    """The rank of a tensor, which has to be known."""
    if x.shape.rank is None:
        raise node.unsupported("the rank of its input is unknown; state the shapes of the model's inputs")
    return int(x.shape.rank)


def axis_of(node: Node, axis: int, rank: int) -> int:
    """An axis that may count from the end, from the start."""
    if not -rank <= axis < rank:
        raise node.unsupported(f"axis {axis} is none of a tensor of rank {rank}")
    return axis % rank


def dimension(x: tf.Tensor, axis: int, dtype: tf.DType = tf.int32) -> Entry:
    """The size of an axis."""
    known = x.shape[axis]
    # Not int64 from the start: TFLite's converter (2.21) narrows a shape, and what is taken from it it does not.
    return tf.cast(tf.shape(x)[axis], dtype) if known is None else int(known)


def dimensions(x: tf.Tensor, dtype: tf.DType = tf.int32) -> list[Entry]:
    """The sizes of all axes of a tensor of known rank."""
    return [dimension(x, axis, dtype) for axis in range(x.shape.rank)]


def vector(values: Sequence[Entry], dtype: tf.DType = tf.int32) -> tf.Tensor:
    """The entries as a tensor of shape [n]."""
    if all(isinstance(value, int) for value in values):
        return tf.constant(values, dtype, shape=[len(values)])
    return tf.stack([tf.constant(v, dtype) if isinstance(v, int) else tf.cast(v, dtype) for v in values])


def reshaped(x: tf.Tensor, sizes: Sequence[Entry]) -> tf.Tensor:
    """``tf.reshape``; a single unknown size is left for TensorFlow to find, so that the target is a constant."""
    known = [size for size in sizes if isinstance(size, int)]
    # Where an axis is of size 0 any size would do.
    if len(known) == len(sizes) - 1 and 0 not in known and -1 not in known:
        sizes = [size if isinstance(size, int) else -1 for size in sizes]
    return tf.reshape(x, vector(sizes))


def entries(node: Node, tensor: tf.Tensor | None) -> list[Entry] | None:
    """The entries of a short vector of int32 or int64 that is known or was made by `vector` or ``tf.shape``."""
    if tensor is None or tensor.dtype not in (tf.int32, tf.int64) or tensor.shape.rank != 1:
        return None
    length = tensor.shape[0]
    if length is None or length > _LONGEST:
        return None
    known = node.static_integers(tensor)
    return _traced(node, tensor) if known is None else known


def entries_or_parts(node: Node, tensor: tf.Tensor) -> list[Entry]:
    """As `entries`; a vector of known length that cannot be taken apart is sliced into scalars."""
    found = entries(node, tensor)
    if found is not None:
        return found
    if tensor.shape.rank != 1 or tensor.shape[0] is None:
        raise node.unsupported(f"the length of {tensor.name} is unknown; state its shape")
    return [tensor[position] for position in range(tensor.shape[0])]


def from_end(indices: tf.Tensor, size: Entry) -> tf.Tensor:
    """Indices that may be negative, counted from the start."""
    size = tf.constant(size, indices.dtype) if isinstance(size, int) else tf.cast(size, indices.dtype)
    return tf.where(indices < 0, indices + size, indices)


def _traced(node: Node, tensor: tf.Tensor) -> list[Entry] | None:
    op = tensor.op
    if op.type == "Pack":
        return [_entry(node, scalar) for scalar in op.inputs]
    if op.type == "Shape":
        return dimensions(op.inputs[0], tensor.dtype)
    if op.type in ("Cast", "Identity"):
        inner = entries(node, op.inputs[0])
        return None if inner is None else [v if isinstance(v, int) else tf.cast(v, tensor.dtype) for v in inner]
    return [tensor[0]] if tensor.shape[0] == 1 else None


def _entry(node: Node, scalar: tf.Tensor) -> Entry:
    known = node.static(scalar)
    return scalar if known is None else int(known)
