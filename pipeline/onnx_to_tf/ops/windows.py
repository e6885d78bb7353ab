"""Windows that slide over axes, as convolution and pooling have them: ONNX's attributes and what they come to."""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import Entry, dimension

__all__ = ["Window", "largest", "padded", "per_axis", "strided", "windows"]


@dataclass(frozen=True, slots=True)
class Window:
    """The window along one axis.

    Attributes:
        length: elements of the input.
        kernel: elements of the window.
        stride: from one window to the next.
        dilation: from one element of a window to the next.
        begin: elements of padding before the axis.
        end: elements of padding behind it, so that the windows that fit are those wanted.
        stated_end: of these, what the model states; the rest is for windows that stick out (``ceil_mode``).
        is_same: whether the padding is certainly the one that TensorFlow calls SAME.
    """

    length: Entry
    kernel: int
    stride: int
    dilation: int
    begin: Entry
    end: Entry
    stated_end: Entry
    is_same: bool

    @property
    def extent(self) -> int:
        """Elements from the first of a window to its last."""
        return _extent(self.kernel, self.dilation)

    @property
    def is_padded(self) -> bool:
        """Whether there may be padding."""
        return not (_is_zero(self.begin) and _is_zero(self.end))

    @property
    def sticks_out(self) -> bool:
        """Whether windows may reach beyond the padding that the model states."""
        if tf.is_tensor(self.end) or tf.is_tensor(self.stated_end):
            return self.end is not self.stated_end
        return bool(self.end != self.stated_end)

    @property
    def count(self) -> Entry:
        """How many windows there are."""
        return (self.length + self.begin + self.end - self.extent) // self.stride + 1


def windows(node: Node, x: tf.Tensor, kernel: Sequence[int]) -> list[Window]:
    """The windows along the spatial axes of x, [N, C, D1, ..., Dn], by the attributes that Conv and the pools share."""
    rank = len(kernel)
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    pads = node.integers("pads", None) or [0] * (2 * rank)
    if len(pads) != 2 * rank:
        raise node.unsupported(f"its pads are {pads}; state two for each of the {rank} axes")
    way = node.text("auto_pad", "NOTSET") or "NOTSET"
    made = []
    for i, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        length = dimension(x, 2 + i)
        if way in ("SAME_UPPER", "SAME_LOWER"):
            made.append(_same(length, size, stride, dilation, is_lower=way == "SAME_LOWER"))
        elif way in ("NOTSET", "VALID"):
            begin, end = (pads[i], pads[rank + i]) if way == "NOTSET" else (0, 0)
            is_ceil = bool(node.integer("ceil_mode", 0))
            made.append(_padded(length, size, stride, dilation, begin, end, is_ceil=is_ceil))
        else:
            raise node.unsupported(f"its auto_pad is {way}; NOTSET, VALID, SAME_UPPER and SAME_LOWER would do")
    return made


def per_axis(node: Node, attribute: str, rank: int) -> list[int]:
    """An attribute with a positive number for each axis, 1 where the node states none."""
    values = node.integers(attribute, None) or [1] * rank
    if len(values) != rank or min(values) < 1:
        raise node.unsupported(f"its {attribute} are {values}; state a positive one for each of the {rank} axes")
    return values


def padded(x: tf.Tensor, windows: Sequence[Window], *, first_axis: int, value: float = 0) -> tf.Tensor:
    """Pads the axes that windows slide over, which follow each other from ``first_axis`` on."""
    if not any(window.is_padded for window in windows):
        return x
    pads: list[list[Entry]] = [[0, 0] for _ in range(x.shape.rank)]
    for axis, window in enumerate(windows, first_axis):
        pads[axis] = [window.begin, window.end]
    return tf.pad(x, pads) if value == 0 else tf.pad(x, pads, constant_values=tf.constant(value, x.dtype))


def strided(x: tf.Tensor, axis: int, window: Window, position: int) -> tf.Tensor:
    """The elements of a padded axis that stand at one position of their windows, a window each."""
    start = position * window.dilation
    slices = [slice(None)] * axis
    return x[(*slices, slice(start, start + (window.count - 1) * window.stride + 1, window.stride))]


def largest(value: Entry, floor: int) -> Entry:
    """The larger of two numbers, of which the first may be a tensor."""
    return max(value, floor) if isinstance(value, int) else tf.maximum(value, floor)


def _extent(kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1


def _same(length: Entry, kernel: int, stride: int, dilation: int, *, is_lower: bool) -> Window:
    total = _same_total(length, kernel, stride, dilation)
    half, rest = total // 2, total - total // 2
    begin, end = (rest, half) if is_lower else (half, rest)
    is_even = isinstance(total, int) and total % 2 == 0
    return Window(length, kernel, stride, dilation, begin, end, end, not is_lower or is_even)


def _padded(length: Entry, kernel: int, stride: int, dilation: int, begin: int, end: int, *, is_ceil: bool) -> Window:
    extent, needed = _extent(kernel, dilation), end
    if is_ceil and stride > 1:
        count = -(-(length + begin + end - extent) // stride) + 1
        # The last window starts within the input or the padding before it, as PyTorch has it and opset 22 states.
        is_outside = (count - 1) * stride >= length + begin
        count = count - (int(is_outside) if isinstance(is_outside, bool) else tf.cast(is_outside, tf.int32))
        needed = largest((count - 1) * stride + extent - length - begin, 0)
    total = _same_total(length, kernel, stride, dilation)
    is_same = isinstance(total, int) and isinstance(needed, int) and (begin, needed) == (total // 2, total - total // 2)
    return Window(length, kernel, stride, dilation, begin, needed, end, is_same)


def _same_total(length: Entry, kernel: int, stride: int, dilation: int) -> Entry:
    """The padding with which there are ``ceil(length / stride)`` windows."""
    extent = _extent(kernel, dilation)
    if stride == 1:
        return extent - 1
    return largest((-(-length // stride) - 1) * stride + extent - length, 0)


def _is_zero(value: Entry) -> bool:
    return isinstance(value, int) and value == 0
