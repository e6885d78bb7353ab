"""Convolution of any rank, grouped, dilated, transposed and deformed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.dimensions import Entry, dimension, dimensions, entries_or_parts, vector
from pipeline.onnx_to_tf.ops.layouts import channels_first, channels_last, spatial_rank
from pipeline.onnx_to_tf.ops.widening import via
from pipeline.onnx_to_tf.ops.windows import Window, largest, padded, per_axis, strided, windows
from pipeline.onnx_to_tf.registry import Family

__all__ = ["convolution", "ops"]

ops = Family("Convolution")


@ops.register("Conv", 1, 11, 22)
def conv(node: Node, x: tf.Tensor, w: tf.Tensor, b: tf.Tensor | None = None) -> tf.Tensor:
    """[N, C, D1, ..., Dn] and weights [M, C / group, K1, ..., Kn] to [N, M, ...]."""
    return _in_float32(lambda *tensors: convolution(node, *tensors), x, w, b)


@ops.register("ConvTranspose", 1, 11, 22)
def conv_transpose(node: Node, x: tf.Tensor, w: tf.Tensor, b: tf.Tensor | None = None) -> tf.Tensor:
    """[N, C, D1, ..., Dn] and weights [C, M / group, K1, ..., Kn] to [N, M, ...]: the gradient of a convolution."""
    return _in_float32(lambda *tensors: _transposed(node, *tensors), x, w, b)


@ops.register("DeformConv", 19, 22)
def deform_conv(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    offset: tf.Tensor,
    b: tf.Tensor | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Convolution whose every tap is read, bilinearly, at a place of its own.

    The offsets are [N, offset_group * KH * KW * 2, OH, OW], the mask, by which what is read is multiplied, is
    [N, offset_group * KH * KW, OH, OW]. Beyond the edge all is 0.
    Source: Deformable ConvNets v2, arXiv 1811.11168, as torchvision.ops.deform_conv2d.
    """

    def deformed(x: tf.Tensor, w: tf.Tensor, offset: tf.Tensor, *more: tf.Tensor) -> tf.Tensor:
        given = iter(more)
        return _deformed(node, x, w, offset, None if b is None else next(given), None if mask is None else next(given))

    return _in_float32(deformed, x, w, offset, *(tensor for tensor in (b, mask) if tensor is not None))


@ops.register("Col2Im", 18)
def col2im(node: Node, x: tf.Tensor, image_shape: tf.Tensor, block_shape: tf.Tensor) -> tf.Tensor:
    """Adds blocks, [N, C * B1 * ... * Bn, L], up to the image [N, C, D1, ..., Dn] that they overlap in."""
    images, blocks = entries_or_parts(node, image_shape), entries_or_parts(node, block_shape)
    rank = len(images)
    images, blocks = list(map(_int32, images)), list(map(_int32, blocks))
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    pads = node.integers("pads", None) or [0] * (2 * rank)
    lengths = [length + pads[i] + pads[rank + i] for i, length in enumerate(images)]
    # Where in the padded and flattened image each element of each block belongs: [B1 * ... * Bn, L].
    places = tf.zeros([1, 1], tf.int32)
    for length, block, stride, dilation in zip(lengths, blocks, strides, dilations, strict=True):
        count = (length - (block - 1) * dilation - 1) // stride + 1
        along = tf.expand_dims(tf.range(block) * dilation, 1) + tf.range(count) * stride
        apart = tf.expand_dims(tf.expand_dims(places * length, 1), 3) + tf.expand_dims(along, 1)
        places = tf.reshape(apart, vector([_product(dimensions(places)[:1]) * block, -1]))
    batch, channels = dimension(x, 0), dimension(x, 1) // _product(blocks)
    elements = tf.transpose(tf.reshape(x, vector([batch * channels, _product(blocks) * dimension(x, 2)])))
    image = tf.math.unsorted_segment_sum(elements, tf.reshape(places, [-1]), _product(lengths))
    image = tf.reshape(tf.transpose(image), vector([batch, channels, *lengths]))
    inner = [slice(pads[i], pads[i] + length) for i, length in enumerate(images)]
    return image[(slice(None), slice(None), *inner)] if any(pads) else image


def convolution(node: Node, x: tf.Tensor, w: tf.Tensor, b: tf.Tensor | None = None) -> tf.Tensor:
    """What the attributes of Conv say, for tensors of one type: float32 or float64."""
    rank, groups = spatial_rank(node, x), node.integer("group", 1)
    kernel = _kernel(node, w, rank)
    x = _with_channels(node, x, w.shape[1], groups)
    y = _convolved(
        channels_last(x), tf.transpose(w, [*range(2, rank + 2), 1, 0]), windows(node, x, kernel), groups=groups
    )
    return channels_first(y if b is None else tf.nn.bias_add(y, b))


def _convolved(x: tf.Tensor, kernel: tf.Tensor, windows: Sequence[Window], *, groups: int = 1) -> tf.Tensor:
    """Channels last: x [N, D1, ..., Dn, C], kernel [K1, ..., Kn, C / groups, M]."""
    if len(windows) == 1:
        # The stride along an axis of 1 has no effect; kernels want it to be the one along the other axis.
        flat = replace(windows[0], length=1, kernel=1, dilation=1, begin=0, end=0, stated_end=0, is_same=True)
        return tf.squeeze(_convolved(x[:, tf.newaxis], kernel[tf.newaxis], [flat, windows[0]], groups=groups), axis=1)
    is_plain = groups == 1 and all(window.dilation == 1 for window in windows)
    if len(windows) > 3 or (len(windows) == 3 and not is_plain):
        return _convolved_by_slices(x, kernel, windows, groups=groups)
    padding = "SAME" if all(window.is_same for window in windows) else "VALID"
    if padding == "VALID":
        x = padded(x, windows, first_axis=1)
    strides, dilations = [window.stride for window in windows], [window.dilation for window in windows]
    if len(windows) == 3:
        return tf.nn.conv3d(x, kernel, [1, *strides, 1], padding)
    # Dilated and strided at once, or strided unevenly, TensorFlow has no depthwise convolution.
    has_depthwise = strides[0] == strides[1] and (max(strides) == 1 or max(dilations) == 1)
    if groups > 1 and kernel.shape[2] == 1 and has_depthwise:
        filters = tf.reshape(kernel, [*kernel.shape[:2], groups, kernel.shape[3] // groups])
        return tf.nn.depthwise_conv2d(x, filters, [1, *strides, 1], padding, dilations=dilations)
    return tf.nn.conv2d(x, kernel, strides, padding, dilations=dilations)


def _convolved_by_slices(x: tf.Tensor, kernel: tf.Tensor, windows: Sequence[Window], *, groups: int) -> tf.Tensor:
    """A convolution of one rank less for each position along the kernel's first axis, summed."""
    first, rest = windows[0], windows[1:]
    batch, inner = dimension(x, 0), dimensions(x)[2:]
    x = padded(x, [first], first_axis=1)
    total = None
    for position in range(first.kernel):
        rows = tf.reshape(strided(x, 1, first, position), vector([batch * first.count, *inner]))
        part = _convolved(rows, kernel[position], rest, groups=groups)
        total = part if total is None else total + part
    return tf.reshape(total, vector([batch, first.count, *dimensions(total)[1:]]))


@dataclass(frozen=True, slots=True)
class _Spread:
    """What a transposed convolution does along one axis.

    Attributes:
        length: elements of the input.
        kernel: elements of the window.
        stride: from one window to the next, in the output.
        dilation: from one element of a window to the next.
        begin: elements cut off before the output.
        resized: elements of the output.
        is_scaled: whether the output certainly has stride times as many elements as the input.
    """

    length: Entry
    kernel: int
    stride: int
    dilation: int
    begin: Entry
    resized: Entry
    is_scaled: bool

    @property
    def extent(self) -> int:
        """Elements from the first of a window to its last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def is_same(self) -> bool:
        """Whether it is what TensorFlow calls SAME."""
        half = max(self.extent - self.stride, 0) // 2
        return self.is_scaled and isinstance(self.begin, int) and self.begin == half


def _transposed(node: Node, x: tf.Tensor, w: tf.Tensor, b: tf.Tensor | None = None) -> tf.Tensor:
    rank, groups = spatial_rank(node, x), node.integer("group", 1)
    spreads = _spreads(node, x, _kernel(node, w, rank))
    if w.shape[0] is None or w.shape[1] is None:
        raise node.unsupported("the shape of its weights is unknown; store them as an initializer")
    x = channels_last(_with_channels(node, x, w.shape[0] // groups, groups))
    if groups == 1 and rank <= 3 and all(spread.dilation == 1 for spread in spreads):
        y = _transposed_plainly(x, tf.transpose(w, [*range(2, rank + 2), 1, 0]), spreads)
    else:
        y = _transposed_by_zeros(x, w, spreads, groups=groups)
    return channels_first(y if b is None else tf.nn.bias_add(y, b))


def _spreads(node: Node, x: tf.Tensor, kernel: list[int]) -> list[_Spread]:
    rank = len(kernel)
    strides, dilations = per_axis(node, "strides", rank), per_axis(node, "dilations", rank)
    pads = node.integers("pads", None) or [0] * (2 * rank)
    more = node.integers("output_padding", None) or [0] * rank
    # Some exporters state the batch and the channels as well.
    stated = node.integers("output_shape", None)[-rank:]
    way = node.text("auto_pad", "NOTSET") or "NOTSET"
    made = []
    for i, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        length = dimension(x, 2 + i)
        last = (size - 1) * dilation + 1 + more[i]
        if stated:
            total = largest((length - 1) * stride + last - stated[i], 0)
            begin = total // 2 if way == "SAME_UPPER" else total - total // 2
            resized, is_scaled = stated[i], isinstance(length, int) and stated[i] == length * stride
        elif way in ("SAME_UPPER", "SAME_LOWER"):
            total = max(last - stride, 0)
            begin = total // 2 if way == "SAME_UPPER" else total - total // 2
            resized, is_scaled = length * stride, True
        else:
            begin, end = (pads[i], pads[rank + i]) if way == "NOTSET" else (0, 0)
            resized, is_scaled = (length - 1) * stride + last - begin - end, last - begin - end == stride
        made.append(_Spread(length, size, stride, dilation, begin, resized, is_scaled))
    return made


def _transposed_plainly(x: tf.Tensor, kernel: tf.Tensor, spreads: list[_Spread]) -> tf.Tensor:
    """Channels last, the kernel [K1, ..., Kn, M, C]."""
    if len(spreads) == 1:
        flat = _Spread(1, 1, 1, 1, 0, 1, is_scaled=True)
        return tf.squeeze(_transposed_plainly(x[:, tf.newaxis], kernel[tf.newaxis], [flat, spreads[0]]), axis=1)
    transpose = tf.nn.conv2d_transpose if len(spreads) == 2 else tf.nn.conv3d_transpose
    is_same = all(spread.is_same for spread in spreads)
    lengths = [spread.resized if is_same else (spread.length - 1) * spread.stride + spread.extent for spread in spreads]
    shape = vector([dimension(x, 0), *lengths, kernel.shape[-2]])
    strides = [1, *(spread.stride for spread in spreads), 1]
    y = transpose(x, kernel, shape, strides, "SAME" if is_same else "VALID")
    return y if is_same else _cut(y, spreads, lengths)


def _transposed_by_zeros(x: tf.Tensor, w: tf.Tensor, spreads: list[_Spread], *, groups: int) -> tf.Tensor:
    """Puts zeros between the elements of x, and convolves that with the kernel turned round; x channels last."""
    rank = len(spreads)
    for axis, spread in enumerate(spreads, 1):
        if spread.stride > 1:
            shape = dimensions(x)
            inner = _product(shape[axis + 1 :])
            apart = tf.pad(tf.reshape(x, vector([-1, 1, inner])), [[0, 0], [0, spread.stride - 1], [0, 0]])
            x = tf.reshape(apart, vector([*shape[:axis], shape[axis] * spread.stride, *shape[axis + 1 :]]))
    sizes, (channels, made) = w.shape[2:].as_list(), w.shape[:2].as_list()
    kernel = tf.reshape(w, [groups, channels // groups, made, -1])
    kernel = tf.reshape(tf.transpose(kernel, [3, 1, 0, 2]), [*sizes, channels // groups, groups * made])
    kernel = tf.reverse(kernel, list(range(rank)))
    around = [s.extent - 1 for s in spreads]
    lengths = [spread.length * spread.stride for spread in spreads]
    slid = [
        Window(length, s.kernel, 1, s.dilation, pad, pad, pad, is_same=pad == 0)
        for length, pad, s in zip(lengths, around, spreads, strict=True)
    ]
    y = _convolved(x, kernel, slid, groups=groups)
    return _cut(y, spreads, [length + pad for length, pad in zip(lengths, around, strict=True)])


def _cut(y: tf.Tensor, spreads: list[_Spread], lengths: list[Entry]) -> tf.Tensor:
    """Cuts the output, channels last, out of what all windows together cover; beyond that it is 0."""
    missing = [
        largest(spread.begin + spread.resized - length, 0) for spread, length in zip(spreads, lengths, strict=True)
    ]
    if any(not isinstance(m, int) or m > 0 for m in missing):
        y = tf.pad(y, [[0, 0], *([0, m] for m in missing), [0, 0]])
    return y[(slice(None), *(slice(spread.begin, spread.begin + spread.resized) for spread in spreads))]


def _deformed(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    offset: tf.Tensor,
    b: tf.Tensor | None,
    mask: tf.Tensor | None,
) -> tf.Tensor:
    if spatial_rank(node, x) != 2:
        raise node.unsupported(f"its input has {x.shape.rank - 2} spatial axes; two would do")
    kernel, groups, offset_groups = _kernel(node, w, 2), node.integer("group", 1), node.integer("offset_group", 1)
    x = _with_channels(node, x, w.shape[1], groups)
    slid, taps = windows(node, x, kernel), math.prod(kernel)
    batch, (channels, height, width) = dimension(x, 0), dimensions(x)[1:]
    rows, columns = dimension(offset, 2), dimension(offset, 3)
    offset = tf.reshape(offset, vector([batch * offset_groups, taps, 2, rows, columns]))
    top = _starts(slid[0], rows, x.dtype) + _repeated(slid[0], kernel[1], each=True, dtype=x.dtype)
    left = _starts(slid[1], columns, x.dtype) + _repeated(slid[1], kernel[0], each=False, dtype=x.dtype)
    y, x_ = offset[:, :, 0] + top[:, :, tf.newaxis], offset[:, :, 1] + left[:, tf.newaxis, :]
    image = tf.reshape(x, vector([batch * offset_groups, channels // offset_groups, height * width]))
    image = tf.transpose(image, [0, 2, 1])
    flat = vector([batch * offset_groups, taps * rows * columns])
    read = None
    for line, by_line in _neighbours(y, height):
        for column, by_column in _neighbours(x_, width):
            weight = by_line * by_column
            if mask is not None:
                weight = weight * tf.reshape(mask, vector([batch * offset_groups, taps, rows, columns]))
            corner = tf.gather(image, tf.reshape(line * width + column, flat), batch_dims=1)
            corner = corner * tf.reshape(weight, flat)[:, :, tf.newaxis]
            read = corner if read is None else read + corner
    read = tf.reshape(read, vector([batch, offset_groups, taps, rows * columns, channels // offset_groups]))
    read = tf.reshape(tf.transpose(read, [0, 3, 2, 1, 4]), vector([batch * rows * columns, taps, channels]))
    whole = Window(taps, taps, 1, 1, 0, 0, 0, is_same=taps == 1)
    filters = tf.reshape(tf.transpose(w, [2, 3, 1, 0]), [taps, w.shape[1], w.shape[0]])
    y = tf.reshape(_convolved(read, filters, [whole], groups=groups), vector([batch, rows, columns, w.shape[0]]))
    return channels_first(y if b is None else tf.nn.bias_add(y, b))


def _starts(window: Window, count: Entry, dtype: tf.DType) -> tf.Tensor:
    """Where the windows begin: [1, count]."""
    return tf.cast(tf.range(count) * window.stride - window.begin, dtype)[tf.newaxis]


def _repeated(window: Window, times: int, *, each: bool, dtype: tf.DType) -> tf.Tensor:
    """Where in its window each tap of a kernel of two axes stands along one of them: [taps, 1]."""
    along = [position * window.dilation for position in range(window.kernel)]
    listed = [place for place in along for _ in range(times)] if each else along * times
    return tf.constant(listed, dtype)[:, tf.newaxis]


def _neighbours(place: tf.Tensor, length: Entry) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The two whole positions beside a place, made to lie inside, and their weights, 0 for one that does not."""
    before = tf.floor(place)
    part = place - before
    found = []
    for position, weight in ((before, 1 - part), (before + 1, part)):
        last = tf.cast(length - 1, place.dtype)
        inside = tf.clip_by_value(position, tf.zeros_like(last), last)
        found.append((tf.cast(inside, tf.int32), tf.where(tf.equal(inside, position), weight, tf.zeros_like(weight))))
    return found


def _in_float32(function: Callable[..., tf.Tensor], *tensors: tf.Tensor | None) -> tf.Tensor:
    """Sums in float32 what is of 16 bits: TensorFlow's kernels would sum in 16, which is less exact, and slower."""
    given = [tensor for tensor in tensors if tensor is not None]
    return via(tf.float32, function, *given) if given[0].dtype.size == 2 else function(*given)


def _kernel(node: Node, w: tf.Tensor, rank: int) -> list[int]:
    sizes: list[Any] = [None] * rank if w.shape.rank is None else w.shape[2:].as_list()
    kernel = node.integers("kernel_shape", None) or sizes
    if w.shape.rank is None or w.shape[0] is None or w.shape[1] is None or None in kernel:
        raise node.unsupported("the shape of its weights is unknown; state it, or store them as an initializer")
    if len(sizes) != rank or any(size not in (None, stated) for size, stated in zip(sizes, kernel, strict=True)):
        raise node.unsupported(f"its weights, {w.shape}, are not for a kernel {kernel} over {rank} axes")
    return [int(size) for size in kernel]


def _with_channels(node: Node, x: tf.Tensor, channels: int, groups: int) -> tf.Tensor:
    """The input with its channels known, which the weights tell."""
    if x.shape[1] not in (None, channels * groups):
        raise node.unsupported(f"its input has {x.shape[1]} channels, and its weights are for {channels * groups}")
    return tf.ensure_shape(x, [x.shape[0], channels * groups, *x.shape[2:]]) if x.shape[1] is None else x


def _int32(entry: Entry) -> Entry:
    return entry if isinstance(entry, int) else tf.cast(entry, tf.int32)


def _product(values: Sequence[Entry]) -> Entry:
    product: Entry = 1
    for value in values:
        product = product * value
    return product
