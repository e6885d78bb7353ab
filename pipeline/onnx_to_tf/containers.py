"""What ONNX passes between nodes besides tensors, sequences and optionals, and how it goes through control flow.

TensorFlow's loops and branches carry tensors alone. A `Layout` says as which tensors a value goes; two of one value, as
of both branches of an If, are merged to one that serves both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

__all__ = [
    "Layout",
    "OptionalLayout",
    "OptionalValue",
    "SequenceLayout",
    "TensorLayout",
    "TensorList",
    "TensorSequence",
    "as_list",
    "layout_of",
    "mapped",
    "merged",
    "pack",
    "shapes",
    "unpack",
]


@dataclass(frozen=True, slots=True, eq=False)
class TensorSequence:
    """A sequence whose length is known at conversion.

    Attributes:
        dtype: of every element.
        elements: in order.
    """

    dtype: tf.DType
    elements: tuple[tf.Tensor, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TensorList:
    """A sequence whose length is known when the model runs: a list of TensorFlow's, which its operators do not change.

    Attributes:
        dtype: of every element.
        handle: the list, a scalar of type variant.
        element_shape: what the shapes of all elements have in common; None where there was no element so far.
    """

    dtype: tf.DType
    handle: tf.Tensor
    element_shape: tf.TensorShape | None

    @classmethod
    def empty(cls, dtype: tf.DType) -> "TensorList":
        """A list without elements."""
        handle = tf.raw_ops.EmptyTensorList(element_shape=-1, max_num_elements=-1, element_dtype=dtype)
        return cls(dtype, handle, None)

    @classmethod
    def of_rows(cls, tensor: tf.Tensor) -> "TensorList":
        """The slices of a tensor along its first axis."""
        shape = tensor.shape[1:]
        handle = tf.raw_ops.TensorListFromTensor(tensor=tensor, element_shape=_operand(shape))
        return cls(tensor.dtype, handle, shape)

    def length(self) -> tf.Tensor:
        """How many elements: int32, shape []."""
        return tf.raw_ops.TensorListLength(input_handle=self.handle)

    def get(self, index: tf.Tensor) -> tf.Tensor:
        """The element at an index >= 0: int32, shape []."""
        shape = tf.TensorShape(None) if self.element_shape is None else self.element_shape
        element = tf.raw_ops.TensorListGetItem(
            input_handle=self.handle, index=index, element_shape=_operand(shape), element_dtype=self.dtype
        )
        element.set_shape(shape)
        return element

    def pushed(self, element: tf.Tensor) -> "TensorList":
        """The list with one element more at its end."""
        handle = tf.raw_ops.TensorListPushBack(input_handle=self.handle, tensor=element)
        return TensorList(self.dtype, handle, _common(self.element_shape, element.shape))

    def taken(self, indices: tf.Tensor) -> "TensorList":
        """The elements at indices >= 0: int32, shape [any]."""
        return mapped(tf.shape(indices)[0], lambda index: self.get(indices[index]), self.dtype)

    def stacked(self) -> tf.Tensor:
        """The elements, all of one shape, along a new first axis."""
        stacked = tf.raw_ops.TensorListStack(
            input_handle=self.handle, element_shape=_operand(self._shape), element_dtype=self.dtype
        )
        stacked.set_shape(tf.TensorShape([None]).concatenate(self._shape))
        return stacked

    def concatenated(self) -> tf.Tensor:
        """The elements one after the other along their first axis."""
        shape = self._shape
        if shape.rank is not None:
            shape = tf.TensorShape([None]).concatenate(shape[1:])
        tensor, _ = tf.raw_ops.TensorListConcatV2(
            input_handle=self.handle,
            element_shape=_operand(shape),
            leading_dims=tf.constant([], tf.int64),
            element_dtype=self.dtype,
        )
        tensor.set_shape(shape)
        return tensor

    @property
    def _shape(self) -> tf.TensorShape:
        return tf.TensorShape(None) if self.element_shape is None else self.element_shape


def mapped(count: tf.Tensor, element: Callable[[tf.Tensor], tf.Tensor], dtype: tf.DType) -> TensorList:
    """The list of ``element(0)``, ``element(1)``, ... ``element(count - 1)``; count and index int32, shape []."""
    shape: tf.TensorShape | None = None

    def body(index: tf.Tensor, handle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        nonlocal shape
        made = element(index)
        shape = made.shape
        return index + 1, TensorList(dtype, handle, shape).pushed(made).handle

    _, handle = tf.while_loop(lambda index, _: index < count, body, (0, TensorList.empty(dtype).handle))
    return TensorList(dtype, handle, shape)


def as_list(sequence: TensorSequence | TensorList) -> TensorList:
    """A sequence as a list of TensorFlow's."""
    if isinstance(sequence, TensorList):
        return sequence
    made = TensorList.empty(sequence.dtype)
    for element in sequence.elements:
        made = made.pushed(element)
    return made


@dataclass(frozen=True, slots=True, eq=False)
class OptionalValue:
    """An optional.

    Attributes:
        element: a tensor or a sequence; where there is none, None or anything of the right type.
        is_present: whether there is one: a bool where it is known at conversion, else a tensor, bool, shape [].
    """

    element: Any
    is_present: bool | tf.Tensor


@dataclass(frozen=True, slots=True)
class TensorLayout:
    """A tensor, as itself."""

    dtype: tf.DType
    shape: tf.TensorShape


@dataclass(frozen=True, slots=True)
class SequenceLayout:
    """A sequence: as its elements where the length is known, else as a list.

    Attributes:
        dtype: of the elements.
        element_shape: what their shapes have in common, None where there is no element.
        length: how many, None where that is known when the model runs.
    """

    dtype: tf.DType
    element_shape: tf.TensorShape | None
    length: int | None


@dataclass(frozen=True, slots=True)
class OptionalLayout:
    """An optional: as its element, after a flag where it is not known at conversion whether there is one.

    Attributes:
        element: of what may be there; None where nothing ever is.
        is_present: None where only the flag tells.
    """

    element: "TensorLayout | SequenceLayout | None"
    is_present: bool | None


Layout = TensorLayout | SequenceLayout | OptionalLayout


def layout_of(value: Any, *, is_listed: bool = False) -> Layout:
    """The layout that fits a value best.

    Args:
        value: a tensor, a sequence or an optional.
        is_listed: whether a sequence goes as a list in any case, as one does whose length a loop may change.
    """
    if isinstance(value, TensorSequence):
        common: tf.TensorShape | None = None
        for entry in value.elements:
            common = _common(common, entry.shape)
        return SequenceLayout(value.dtype, common, None if is_listed else len(value.elements))
    if isinstance(value, TensorList):
        return SequenceLayout(value.dtype, value.element_shape, None)
    if isinstance(value, OptionalValue):
        element: Any = None if value.element is None else layout_of(value.element, is_listed=is_listed)
        return OptionalLayout(element, value.is_present if isinstance(value.is_present, bool) else None)
    return TensorLayout(value.dtype, value.shape)


def merged(one: Layout, other: Layout) -> Layout:
    """The narrowest layout for values of either.

    Raises:
        TypeError: they are of different kinds or element types.
    """
    if isinstance(one, TensorLayout) and isinstance(other, TensorLayout) and one.dtype == other.dtype:
        return TensorLayout(one.dtype, one.shape.most_specific_compatible_shape(other.shape))
    if isinstance(one, SequenceLayout) and isinstance(other, SequenceLayout) and one.dtype == other.dtype:
        length = one.length if one.length == other.length else None
        return SequenceLayout(one.dtype, _common(one.element_shape, other.element_shape), length)
    if isinstance(one, OptionalLayout) and isinstance(other, OptionalLayout):
        is_present = one.is_present if one.is_present == other.is_present else None
        if one.element is None or other.element is None:
            return OptionalLayout(one.element or other.element, is_present)
        both: Any = merged(one.element, other.element)
        return OptionalLayout(both, is_present)
    raise TypeError(f"a value is {one} here and {other} there")


def pack(value: Any, layout: Layout) -> list[tf.Tensor]:
    """The tensors as which a value goes."""
    if isinstance(layout, OptionalLayout):
        flag = [] if layout.is_present is not None else [tf.convert_to_tensor(value.is_present)]
        if layout.element is None:
            return flag
        return [*flag, *(_stand_ins(layout.element) if value.element is None else pack(value.element, layout.element))]
    if isinstance(layout, SequenceLayout):
        return [as_list(value).handle] if layout.length is None else list(value.elements)
    return [value]


def unpack(tensors: Sequence[tf.Tensor], layout: Layout) -> Any:
    """The value that went as these tensors."""
    if isinstance(layout, OptionalLayout):
        is_present = tensors[0] if layout.is_present is None else layout.is_present
        rest = tensors[1:] if layout.is_present is None else tensors
        return OptionalValue(None if layout.element is None else unpack(rest, layout.element), is_present)
    if isinstance(layout, SequenceLayout):
        if layout.length is None:
            return TensorList(layout.dtype, tensors[0], layout.element_shape)
        return TensorSequence(layout.dtype, tuple(tensors))
    return tensors[0]


def shapes(layout: Layout) -> list[tf.TensorShape]:
    """The shapes of the tensors as which a value goes."""
    if isinstance(layout, OptionalLayout):
        flag = [] if layout.is_present is not None else [tf.TensorShape([])]
        return flag if layout.element is None else [*flag, *shapes(layout.element)]
    if isinstance(layout, SequenceLayout):
        return [tf.TensorShape([])] if layout.length is None else [layout.element_shape] * layout.length
    return [layout.shape]


def _stand_ins(layout: TensorLayout | SequenceLayout) -> list[tf.Tensor]:
    """What goes in place of an element that is not there."""
    if isinstance(layout, SequenceLayout) and layout.length is None:
        return [TensorList.empty(layout.dtype).handle]
    return [tf.zeros([axis or 0 for axis in shape] if shape.rank else [], layout.dtype) for shape in shapes(layout)]


def _common(one: tf.TensorShape | None, other: tf.TensorShape | None) -> tf.TensorShape | None:
    if one is None or other is None:
        return other if one is None else one
    return one.most_specific_compatible_shape(other)


def _operand(shape: tf.TensorShape) -> Any:
    """A shape as the operators of lists take it: -1 for an axis, or for all, that is not known."""
    return -1 if shape.rank is None else tf.constant([-1 if axis is None else axis for axis in shape], tf.int32)
