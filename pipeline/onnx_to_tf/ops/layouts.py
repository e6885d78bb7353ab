"""Where the channels stand: ONNX has them second, TensorFlow's kernels on a CPU and TFLite's have them last.

Every operator that needs channels last calls `channels_last` on what it gets and `channels_first` on what it gives, and
no other function transposes for this reason. Between two of them no transposition is left: `channels_last` goes back
through what works element by element to where the channels were last, and emits that once more there. What nobody asks
for with its channels second any more TensorFlow removes.
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import at_rank

__all__ = ["channels_first", "channels_last", "per_channel", "spatial_rank"]


_UNARY: dict[str, Callable[..., tf.Tensor]] = {
    "Relu": tf.nn.relu,
    "Relu6": tf.nn.relu6,
    "Elu": tf.nn.elu,
    "Sigmoid": tf.sigmoid,
    "Tanh": tf.tanh,
    "Neg": tf.negative,
    "Square": tf.square,
    "Sqrt": tf.sqrt,
    "Exp": tf.exp,
}
_BINARY: dict[str, Callable[..., tf.Tensor]] = {
    "AddV2": tf.add,
    "Sub": tf.subtract,
    "Mul": tf.multiply,
    "RealDiv": tf.divide,
    "Maximum": tf.maximum,
    "Minimum": tf.minimum,
}
"""Operators of TensorFlow's graph that work element by element, and what emits them."""

_DEEPEST = 24
"""Operators that are gone back through: each may be emitted twice, once for each layout."""

_MADE: WeakKeyDictionary[tf.Graph, dict[str, tf.Tensor | None]] = WeakKeyDictionary()
"""What was found, by the name of the tensor, as long as its graph lives."""


def channels_last(x: tf.Tensor) -> tf.Tensor:
    """[N, C, D1, ..., Dn] to [N, D1, ..., Dn, C]."""
    rank = x.shape.rank
    if rank < 3:
        return x
    found = None if tf.executing_eagerly() else _found_last(x, _DEEPEST)
    return tf.transpose(x, _to_last(rank)) if found is None else found


def _to_last(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]


def _found_last(x: tf.Tensor, depth: int) -> tf.Tensor | None:
    """The same with its channels last, without a transposition; None where there is no way to it."""
    made = _MADE.setdefault(x.graph, {})
    if x.name not in made:
        made[x.name] = _emitted_last(x, depth)
    return made[x.name]


def _emitted_last(x: tf.Tensor, depth: int) -> tf.Tensor | None:
    op, rank = x.op, x.shape.rank
    if op.type == "Transpose":
        order = tf.get_static_value(op.inputs[1])
        is_ours = order is not None and list(order) == [0, rank - 1, *range(1, rank - 1)]
        return op.inputs[0] if is_ours else None
    if not depth:
        return None
    if op.type in _UNARY:
        inner = _found_last(op.inputs[0], depth - 1)
        return None if inner is None else _UNARY[op.type](inner)
    if op.type in _BINARY:
        sides = [_side_last(side, rank, depth - 1) for side in op.inputs]
        is_possible = all(side is not None for side in sides) and any(_is_whole(side, rank) for side in op.inputs)
        return _BINARY[op.type](*sides) if is_possible else None
    if op.type == "ConcatV2":
        *parts, axis = op.inputs
        along = tf.get_static_value(axis)
        inner = [_found_last(part, depth - 1) for part in parts]
        if along is None or any(part is None for part in inner):
            return None
        return tf.concat(inner, _to_last(rank).index(int(along) % rank))
    return None


def _is_whole(x: tf.Tensor, rank: int) -> bool:
    """Whether an operand has all axes itself, instead of being broadcast."""
    return x.shape.rank == rank and any(size != 1 for size in x.shape[2:])


def _side_last(x: tf.Tensor, rank: int, depth: int) -> tf.Tensor | None:
    """An operand of one that works element by element; what is broadcast over the places is small, and transposed."""
    if x.shape.rank is None:
        return None
    if x.shape.rank == 0:
        return x
    if _is_whole(x, rank):
        return _found_last(x, depth)
    if x.shape.rank == rank - 1 and all(size == 1 for size in x.shape[1:]):
        return tf.reshape(x, [-1])
    if x.shape.num_elements() == 1:
        return tf.reshape(x, [])
    if x.shape.rank == rank and all(size == 1 for size in x.shape[2:]):
        return tf.transpose(x, _to_last(rank))
    return None


def channels_first(x: tf.Tensor) -> tf.Tensor:
    """[N, D1, ..., Dn, C] to [N, C, D1, ..., Dn]."""
    rank = x.shape.rank
    return x if rank < 3 else tf.transpose(x, [0, rank - 1, *range(1, rank - 1)])


def per_channel(vector: tf.Tensor, rank: int) -> tf.Tensor:
    """[C] to [C, 1, ..., 1], which broadcasts against a tensor of that rank with its channels second."""
    return vector if rank < 3 else tf.reshape(vector, [-1, *[1] * (rank - 2)])


def spatial_rank(node: Node, x: tf.Tensor) -> int:
    """How many axes follow batch and channels: at least one."""
    rank = at_rank(node, x)
    if rank < 3:
        raise node.unsupported(f"its input has rank {rank}; it needs batch, channels and at least one axis more")
    return rank - 2
