"""Sequences of tensors."""

from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.containers import TensorList, TensorSequence, as_list, mapped
from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Sequences")

AnySequence = TensorSequence | TensorList

_LONGEST_UNROLLED = 32
"""Elements: SequenceMap emits its body once for each element of a sequence that is no longer."""


@ops.register("SequenceEmpty", 11)
def sequence_empty(node: Node) -> TensorSequence:
    """A sequence without elements."""
    return TensorSequence(tensorflow_dtype(ir.DataType(node.integer("dtype", ir.DataType.FLOAT))), ())


@ops.register("SequenceConstruct", 11)
def sequence_construct(node: Node, *elements: tf.Tensor) -> TensorSequence:
    """The inputs as a sequence."""
    return TensorSequence(elements[0].dtype, elements)


@ops.register("SequenceLength", 11)
def sequence_length(node: Node, sequence: AnySequence) -> tf.Tensor:
    """How many elements a sequence has: int64, shape []."""
    if isinstance(sequence, TensorSequence):
        return tf.constant(len(sequence.elements), tf.int64)
    return tf.cast(sequence.length(), tf.int64)


@ops.register("SequenceAt", 11)
def sequence_at(node: Node, sequence: AnySequence, position: tf.Tensor) -> tf.Tensor:
    """The element at a position; a negative one counts from the end."""
    known = node.static_integers(position)
    if isinstance(sequence, TensorSequence):
        if known is not None:
            _check(node, known[0], len(sequence.elements))
            return sequence.elements[known[0]]
        shape = sequence.elements[0].shape if sequence.elements else tf.TensorShape(None)
        if shape.is_fully_defined() and all(element.shape == shape for element in sequence.elements):
            return tf.gather(tf.stack(sequence.elements), _from_start(position, tf.constant(len(sequence.elements))))
    listed = as_list(sequence)
    return listed.get(_from_start(position, listed.length()))


@ops.register("SequenceInsert", 11)
def sequence_insert(
    node: Node, sequence: AnySequence, tensor: tf.Tensor, position: tf.Tensor | None = None
) -> AnySequence:
    """The sequence with a tensor before the element at a position, or at the end."""
    known = node.static_integers(position)
    if isinstance(sequence, TensorSequence) and (position is None or known is not None):
        elements = list(sequence.elements)
        where = len(elements) if known is None else known[0]
        _check(node, where, len(elements) + (where >= 0))
        elements.insert(where, tensor)
        return TensorSequence(sequence.dtype, tuple(elements))
    listed = as_list(sequence)
    pushed = listed.pushed(tensor)
    if position is None:
        return pushed
    length = listed.length()
    start = _from_start(position, length)
    order = tf.concat([tf.range(start), [length], tf.range(start, length)], 0)
    return TensorList(pushed.dtype, pushed.taken(order).handle, pushed.element_shape)


@ops.register("SequenceErase", 11)
def sequence_erase(node: Node, sequence: AnySequence, position: tf.Tensor | None = None) -> AnySequence:
    """The sequence without the element at a position, or without the last."""
    known = [-1] if position is None else node.static_integers(position)
    if isinstance(sequence, TensorSequence) and known is not None:
        _check(node, known[0], len(sequence.elements))
        elements = list(sequence.elements)
        del elements[known[0]]
        return TensorSequence(sequence.dtype, tuple(elements))
    listed = as_list(sequence)
    length = listed.length()
    start = length - 1 if position is None else _from_start(position, length)
    return listed.taken(tf.concat([tf.range(start), tf.range(start + 1, length)], 0))


@ops.register("SplitToSequence", 11)
def split_to_sequence(node: Node, x: tf.Tensor, split: tf.Tensor | None = None) -> AnySequence:
    """Splits a tensor along an axis: in slices of one, in parts of one length (the last may be shorter), in lengths."""
    rank = _rank(node, x.shape)
    axis = node.integer("axis", 0) % rank
    keeps_axis = split is not None or bool(node.integer("keepdims", 1))
    lengths = _lengths(node, x, axis, split)
    if isinstance(lengths, list):
        if not keeps_axis:
            return TensorSequence(x.dtype, tuple(tf.unstack(x, num=len(lengths), axis=axis)))
        if not lengths:
            return TensorSequence(x.dtype, ())
        return TensorSequence(x.dtype, tuple(tf.split(x, lengths, axis)))
    if split is None:
        rows = _axis_first(x, axis)
        return TensorList.of_rows(tf.expand_dims(rows, axis + 1) if keeps_axis else rows)
    starts = tf.cumsum(lengths, exclusive=True)
    before, after = [0] * axis, [0] * (rank - axis - 1)

    def part(index: tf.Tensor) -> tf.Tensor:
        begin = tf.stack([*before, starts[index], *after])
        return tf.slice(x, begin, tf.stack([*[-1] * axis, lengths[index], *[-1] * (rank - axis - 1)]))

    made = mapped(tf.shape(lengths)[0], part, x.dtype)
    shape = tf.TensorShape([None if i == axis else length for i, length in enumerate(x.shape)])
    return TensorList(made.dtype, made.handle, shape)


@ops.register("ConcatFromSequence", 11)
def concat_from_sequence(node: Node, sequence: AnySequence) -> tf.Tensor:
    """The elements one after the other along an axis, of theirs or a new one."""
    axis, is_new = node.integer("axis"), bool(node.integer("new_axis", 0))
    if isinstance(sequence, TensorSequence):
        if not sequence.elements:
            raise node.unsupported("the sequence is empty; give it an element")
        return tf.stack(sequence.elements, axis) if is_new else tf.concat(sequence.elements, axis)
    if is_new and axis == 0:
        return sequence.stacked()
    if not is_new and axis == 0:
        return sequence.concatenated()
    rank = _rank(node, sequence.element_shape)
    axis %= rank + is_new
    if is_new:
        return _first_axis_to(sequence.stacked(), axis)
    turned = mapped(sequence.length(), lambda index: _axis_first(sequence.get(index), axis), sequence.dtype)
    return _first_axis_to(turned.concatenated(), axis)


@ops.register("SequenceMap", 17)
def sequence_map(node: Node, *inputs: Any) -> tuple[AnySequence, ...]:
    """A graph applied to each element of a sequence, and of further sequences of its length beside it.

    An input that is no sequence goes to every call.
    """
    body = node.subgraph("body")
    dtypes = [output.dtype for output in body.graph.outputs]
    first = inputs[0]
    if isinstance(first, TensorSequence) and len(first.elements) <= _LONGEST_UNROLLED:
        taken = [_static_elements(node, each, len(first.elements)) for each in inputs]
        if all(each is not None for each in taken):
            calls = [body(*(each[index] for each in taken if each)) for index in range(len(first.elements))]
            if calls:
                return tuple(TensorSequence(made[0].dtype, made) for made in zip(*calls, strict=True))
            return tuple(TensorSequence(_known_dtype(node, dtype), ()) for dtype in dtypes)
    listed = [x if tf.is_tensor(x) else as_list(x) for x in inputs]
    made = [TensorList.empty(_known_dtype(node, dtype)) for dtype in dtypes]

    def step(index: tf.Tensor, *handles: tf.Tensor) -> tuple[tf.Tensor, ...]:
        outputs = body(*(x if tf.is_tensor(x) else x.get(index) for x in listed))
        for position, (handle, output) in enumerate(zip(handles, outputs, strict=True)):
            made[position] = TensorList(output.dtype, handle, output.shape).pushed(output)
        return (index + 1, *(each.handle for each in made))

    length = listed[0].length()
    _, *handles = tf.while_loop(lambda index, *_: index < length, step, (0, *(each.handle for each in made)))
    return tuple(TensorList(x.dtype, handle, x.element_shape) for x, handle in zip(made, handles, strict=True))


def _static_elements(node: Node, value: Any, length: int) -> tuple[tf.Tensor, ...] | None:
    if tf.is_tensor(value):
        return (value,) * length
    if isinstance(value, TensorList):
        return None
    if len(value.elements) != length:
        raise node.unsupported(f"its sequences have {length} and {len(value.elements)} elements; give them one length")
    elements: tuple[tf.Tensor, ...] = value.elements
    return elements


def _known_dtype(node: Node, dtype: Any) -> tf.DType:
    if dtype is None:
        raise node.unsupported("the element type of its result is unknown; state the types of the body's outputs")
    return tensorflow_dtype(dtype)


def _lengths(node: Node, x: tf.Tensor, axis: int, split: tf.Tensor | None) -> list[int] | tf.Tensor:
    """The lengths of the parts: a list where they are known, else int32, shape [parts]."""
    size = x.shape[axis]
    if split is None:
        return tf.ones(tf.shape(x)[axis : axis + 1], tf.int32) if size is None else [1] * size
    known = node.static(split)
    if known is not None and known.ndim == 1:
        return [int(length) for length in known]
    if known is not None and size is not None:
        each = int(known)
        return [min(each, size - start) for start in range(0, size, each)]
    lengths = tf.cast(split, tf.int32)
    if split.shape.rank == 1:
        return lengths
    if split.shape.rank is None:
        raise node.unsupported("the rank of its input split is unknown; state it")
    whole = tf.shape(x)[axis]
    return tf.minimum(lengths, whole - tf.range(0, whole, lengths))


def _from_start(position: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """A position, negative from the end, as one from the start: int32, shape []."""
    position = tf.cast(tf.reshape(position, []), tf.int32)
    return tf.where(position < 0, position + length, position)


def _check(node: Node, position: int, length: int) -> None:
    if not -length <= position < length:
        raise node.unsupported(f"position {position} is outside its sequence; ONNX allows up to {length - 1}")


def _rank(node: Node, shape: tf.TensorShape | None) -> int:
    if shape is None or shape.rank is None:
        raise node.unsupported("the rank of its tensors is unknown; state their shapes, of any size")
    return int(shape.rank)


def _axis_first(x: tf.Tensor, axis: int) -> tf.Tensor:
    return x if axis == 0 else tf.transpose(x, [axis, *(i for i in range(x.shape.rank) if i != axis)])


def _first_axis_to(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Moves the first axis to a place."""
    if axis == 0:
        return x
    return tf.transpose(x, np.insert(np.arange(1, x.shape.rank), axis, 0))
