"""Resampling along axes: Resize and Upsample.

Axes are independent of each other: each becomes a built-in resize where it is one of TensorFlow's kinds of image
resizing, else a gather of the nearest elements, or a sum of neighbours weighted by a filter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Resizing")

_LARGEST_MATRIX = 1 << 18
"""Elements: up to this size (512 x 512) a multiplication by an interpolation matrix is preferred to gathers."""

_TOLERANCE = 1e-5
"""Relative: a scale is a float32, so that a length times a scale meets a whole number only about so well."""

_COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)


@dataclass(frozen=True, slots=True)
class _Way:
    """How to resample: the attributes.

    Attributes:
        mode: ``nearest``, ``linear`` or ``cubic``.
        coordinates: how a position in the output becomes one in the input.
        rounding: for ``nearest``: ONNX's nearest_mode, or ``simple``, which is opset 10's: down when it enlarges, up
            when it shrinks, as ONNX Runtime and ONNX's tests of that opset do.
        cubic_a: Keys' coefficient.
        is_antialiased: whether the filter grows as the input shrinks.
        excludes_outside: whether neighbours beyond the edge have no weight, instead of the value at the edge.
        extrapolation: the value where a cropped position lies outside the input.
    """

    mode: str
    coordinates: str
    rounding: str
    cubic_a: float = -0.75
    is_antialiased: bool = False
    excludes_outside: bool = False
    extrapolation: float = 0.0


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis; each number is Python's where it is known at conversion, else a scalar tensor.

    Attributes:
        axis: its position, not negative.
        length: elements of the input.
        resized: elements of the output.
        scale: output to input; None: exactly ``resized / length``.
        start: of the crop, in 0 to 1.
        end: of the crop.
        is_unchanged: whether the output's length is certainly the input's, though neither may be known.
    """

    axis: int
    length: Any
    resized: Any
    scale: Any
    start: Any = 0.0
    end: Any = 1.0
    is_unchanged: bool = False

    @property
    def is_static(self) -> bool:
        """Whether everything is known."""
        return not any(tf.is_tensor(value) for value in (self.length, self.resized, self.scale, self.start, self.end))

    @property
    def is_by_ratio(self) -> bool:
        """Whether the scale is the ratio of the lengths, as TensorFlow's image resizing takes it to be."""
        if self.scale is None:
            return True
        if tf.is_tensor(self.scale):
            return False
        if float(self.scale).is_integer():
            return True
        if tf.is_tensor(self.length):
            return False
        return bool(abs(self.scale * self.length - self.resized) <= _TOLERANCE * self.resized)

    @property
    def is_whole(self) -> bool:
        """Whether it is enlarged by a whole factor, which is known."""
        if self.scale is not None:
            return not tf.is_tensor(self.scale) and float(self.scale).is_integer()
        return self.is_static and self.resized % self.length == 0

    @property
    def factor(self) -> Any:
        """Output to input."""
        if self.scale is not None:
            return self.scale
        if self.is_static:
            return self.resized / self.length
        return tf.cast(self.resized, tf.float32) / tf.cast(self.length, tf.float32)


@ops.register("Resize", 11, 13, 18, 19)
def resize(
    node: Node,
    x: tf.Tensor,
    roi: tf.Tensor | None = None,
    scales: tf.Tensor | None = None,
    sizes: tf.Tensor | None = None,
) -> tf.Tensor:
    """Resamples a tensor of any rank along any of its axes.

    Where coordinates count from a length that a scale gives, such as the last one of ``align_corners``, that length may
    be a fraction, as in ONNX's tests.
    """
    way = _Way(
        mode=node.text("mode", "nearest"),
        coordinates=node.text("coordinate_transformation_mode", "half_pixel"),
        rounding=node.text("nearest_mode", "round_prefer_floor"),
        cubic_a=node.number("cubic_coeff_a", -0.75),
        is_antialiased=bool(node.integer("antialias", 0)),
        excludes_outside=bool(node.integer("exclude_outside", 0)),
        extrapolation=node.number("extrapolation_value", 0.0),
    )
    rank = _rank(node, x)
    axes = [axis % rank for axis in node.integers("axes", None)] or list(range(rank))
    crop = None
    if way.coordinates == "tf_crop_and_resize":
        if _is_left_out(roi):
            raise node.unsupported("tf_crop_and_resize needs the input roi")
        crop = _entries(node, roi, 2 * len(axes), tf.float32)
    if not _is_left_out(scales):
        described = _scaled(node, x, axes, _entries(node, scales, len(axes), tf.float32))
    elif not _is_left_out(sizes):
        described = _sized(node, x, axes, _entries(node, sizes, len(axes), tf.int32))
    else:
        raise node.unsupported("it has neither scales nor sizes; give one of them")
    if crop is not None:
        described = [
            _Axis(a.axis, a.length, a.resized, a.scale, crop[i], crop[len(axes) + i]) for i, a in enumerate(described)
        ]
    return _resampled(node, x, described, way)


@ops.register("Resize", 10)
@ops.register("Upsample", 9)
def resize_by_scales(node: Node, x: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
    """Resamples by a scale for each axis, without attributes that say how."""
    entries = _entries(node, scales, _rank(node, x), tf.float32)
    return _resampled(node, x, _scaled(node, x, list(range(len(entries))), entries), _plain(node))


@ops.register("Upsample", 7)
def upsample(node: Node, x: tf.Tensor) -> tf.Tensor:
    """As above, with the scales as an attribute."""
    entries = node.numbers("scales")
    return _resampled(node, x, _scaled(node, x, list(range(len(entries))), entries), _plain(node))


def _plain(node: Node) -> _Way:
    return _Way(node.text("mode", "nearest"), "asymmetric", "simple")


def _rank(node: Node, x: tf.Tensor) -> int:
    if x.shape.rank is None:
        raise node.unsupported("the rank of its input is unknown; state the input's shape, whose axes may be dynamic")
    return int(x.shape.rank)


def _is_left_out(tensor: tf.Tensor | None) -> bool:
    """An input that does not apply may also be an empty tensor."""
    return tensor is None or tensor.shape.num_elements() == 0


def _entries(node: Node, vector: tf.Tensor, count: int, dtype: tf.DType) -> list[Any]:
    """The entries of a vector: numbers where it is known."""
    if (known := node.static(vector)) is not None:
        return [entry.item() for entry in known]
    vector = tf.cast(vector, dtype)
    return [vector[position] for position in range(count)]


def _length(x: tf.Tensor, axis: int) -> Any:
    known = x.shape[axis]
    return tf.shape(x)[axis] if known is None else known


def _scaled(node: Node, x: tf.Tensor, axes: list[int], scales: list[Any]) -> list[_Axis]:
    described = []
    for axis, scale in zip(axes, scales, strict=True):
        length = _length(x, axis)
        if tf.is_tensor(length) or tf.is_tensor(scale):
            resized = tf.cast(tf.floor(tf.cast(length, tf.float32) * scale), tf.int32)
        else:
            # In float32, as ONNX's shape inference and ONNX Runtime do: 10 * 2.3 is 23.
            resized = int(np.floor(np.float32(length) * np.float32(scale)))
        same = not tf.is_tensor(scale) and scale == 1.0
        described.append(_Axis(axis, length, length if same else resized, scale, is_unchanged=same))
    return described


def _sized(node: Node, x: tf.Tensor, axes: list[int], sizes: list[Any]) -> list[_Axis]:
    lengths = [_length(x, axis) for axis in axes]
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return [
            _Axis(axis, length, *_known_size(node, axis, length, size))
            for axis, length, size in zip(axes, lengths, sizes, strict=True)
        ]
    if policy not in ("not_larger", "not_smaller"):
        raise node.unsupported(f"keep_aspect_ratio_policy {policy!r} is none of stretch, not_larger and not_smaller")
    if not any(tf.is_tensor(value) for value in (*lengths, *sizes)):
        ratios = [size / length for size, length in zip(sizes, lengths, strict=True)]
        scale = min(ratios) if policy == "not_larger" else max(ratios)
        return [_Axis(a, n, int(np.floor(scale * n + 0.5)), scale) for a, n in zip(axes, lengths, strict=True)]
    lengths = [tf.cast(length, tf.int32) for length in lengths]
    ratios = tf.cast(tf.stack(sizes), tf.float32) / tf.cast(tf.stack(lengths), tf.float32)
    scale = tf.reduce_min(ratios) if policy == "not_larger" else tf.reduce_max(ratios)
    described = []
    for axis, length in zip(axes, lengths, strict=True):
        resized = tf.cast(tf.floor(scale * tf.cast(length, tf.float32) + 0.5), tf.int32)
        described.append(_Axis(axis, length, resized, scale))
    return described


def _known_size(node: Node, axis: int, length: Any, size: Any) -> tuple[Any, None, float, float, bool]:
    """The size, no scale, the whole crop, and whether it is the input's length: shape inference may know."""
    before, after = node.node.inputs[0], node.node.outputs[0]
    inferred = None if after.shape is None else after.shape[axis]
    if tf.is_tensor(size) and isinstance(inferred, int):
        size = inferred
    same = not tf.is_tensor(size) and not tf.is_tensor(length) and size == length
    if before is not None and before.shape is not None and inferred is not None and not isinstance(inferred, int):
        # Both axes have one and the same name.
        same = same or (inferred.value is not None and inferred == before.shape[axis])
    given = node.node.inputs[3] if len(node.node.inputs) > 3 else None
    if given is not None and before is not None and not node.has("axes"):
        same = same or _origin(given, axis, before) == axis
    return length if same else size, None, 0.0, 1.0, same


def _origin(value: ir.Value, position: int, x: ir.Value) -> int | None:
    """The axis of x whose length an entry of a vector is, found in the graph; None where it does not show.

    Exporters keep a dynamic batch by taking its size from the input's own shape: it would be resampled otherwise.
    """
    producer = value.producer()
    if producer is None:
        return None
    match producer.op_type, list(producer.inputs):
        case "Shape", [ir.Value() as source]:
            start = producer.attributes.get_int("start", 0)
            return position + start if source is x and start >= 0 and "end" not in producer.attributes else None
        case (("Identity" | "Cast" | "Unsqueeze" | "Squeeze"), [ir.Value() as source, *_]):
            return _origin(source, position, x)
        case "Gather", [ir.Value() as source, ir.Value() as index]:
            taken = _constants(index)
            return None if taken is None or taken[position] < 0 else _origin(source, taken[position], x)
        case "Slice", [ir.Value() as source, ir.Value() as starts, _, *rest]:
            first = _constants(starts)
            steps = _constants(rest[1]) if len(rest) > 1 and rest[1] is not None else [1]
            return _origin(source, position + first[0], x) if first and first[0] >= 0 and steps == [1] else None
        case "Concat", pieces:
            for piece in pieces:
                length = None if piece is None or piece.shape is None else piece.shape[0]
                if piece is None or not isinstance(length, int):
                    return None
                if position < length:
                    return _origin(piece, position, x)
                position -= length
    return None


def _constants(value: ir.Value) -> list[int] | None:
    return None if value.const_value is None else [int(entry) for entry in value.const_value.numpy().ravel()]


def _resampled(node: Node, x: tf.Tensor, axes: list[_Axis], way: _Way) -> tf.Tensor:
    if way.mode not in ("nearest", "linear", "cubic"):
        raise node.unsupported(f"mode {way.mode!r} is none of nearest, linear and cubic")
    if way.coordinates not in _COORDINATES:
        raise node.unsupported(f"coordinates {way.coordinates!r} are none of {', '.join(_COORDINATES)}")
    axes = [axis for axis in axes if not _is_kept(axis, way)]
    if not axes:
        return tf.identity(x)
    if (image := _image_resize(x, axes, way)) is not None:
        return image
    if way.mode == "nearest":
        for axis in axes:
            x = _nearest(x, axis, way)
        return x
    wide = tf.float64 if x.dtype in (tf.float64, tf.int32, tf.int64, tf.uint32, tf.uint64) else tf.float32
    y = tf.cast(x, wide)
    for axis in axes:
        y = _filtered(y, axis, way)
    return _narrowed(y, x.dtype)


def _narrowed(y: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """To a type of whole numbers it is cut off, as ONNX Runtime does; cubic filters overshoot, so it saturates."""
    return y if y.dtype == dtype else tf.saturate_cast(y, dtype) if dtype.is_integer else tf.cast(y, dtype)


def _is_kept(axis: _Axis, way: _Way) -> bool:
    """Whether resampling along the axis would change nothing."""
    crops = way.coordinates == "tf_crop_and_resize"
    if axis.is_unchanged and not crops:
        return way.coordinates != "tf_half_pixel_for_nn"
    if not axis.is_static or axis.resized != axis.length:
        return crops and axis.is_unchanged and (axis.start, axis.end) == (0.0, 1.0)
    source = _computed(axis, lambda dtype: _source(axis, way, dtype))
    return bool(np.all(np.abs(source - np.arange(axis.length)) < _TOLERANCE))


def _computed(axis: _Axis, compute: Callable[[tf.DType], tf.Tensor]) -> Any:
    """An array in double precision, where the axis is known at conversion, else a tensor in single precision."""
    if not axis.is_static:
        return compute(tf.float32)
    with tf.init_scope():
        return compute(tf.float64).numpy()


def _source(axis: _Axis, way: _Way, dtype: tf.DType) -> tf.Tensor:
    """The position in the input for each of the output: [resized], of a floating-point type.

    Source: onnx/defs/tensor/defs.cc and onnx/reference/ops/op_resize.py.
    """
    length, resized = tf.cast(axis.length, dtype), tf.cast(axis.resized, dtype)
    scale = None if axis.scale is None else tf.cast(axis.scale, dtype)
    fractional = resized if scale is None else scale * length
    x = tf.cast(tf.range(axis.resized), dtype)

    def unscaled(position: tf.Tensor) -> tf.Tensor:
        # A product before the quotient keeps whole numbers exact.
        return position * length / resized if scale is None else position / scale

    match way.coordinates:
        case "half_pixel":
            return unscaled(x + 0.5) - 0.5
        case "half_pixel_symmetric":
            return length / 2 * (1 - resized / fractional) + unscaled(x + 0.5) - 0.5
        case "pytorch_half_pixel":
            return tf.where(resized > 1, unscaled(x + 0.5) - 0.5, tf.zeros_like(x))
        case "align_corners":
            return x * (length - 1) / tf.where(fractional == 1, tf.ones_like(fractional), fractional - 1)
        case "asymmetric":
            return unscaled(x)
        case "tf_half_pixel_for_nn":
            return unscaled(x + 0.5)
        case _:
            start, end = tf.cast(axis.start, dtype), tf.cast(axis.end, dtype)
            steps = tf.where(fractional == 1, tf.ones_like(fractional), fractional - 1)
            spread = start * (length - 1) + x * (end - start) * (length - 1) / steps
            return tf.where(resized > 1, spread, tf.ones_like(x) * 0.5 * (start + end) * (length - 1))


def _nearest_indices(axis: _Axis, way: _Way, dtype: tf.DType) -> tf.Tensor:
    source = _source(axis, way, dtype)
    match way.rounding:
        case "round_prefer_floor":
            rounded = tf.math.ceil(source - 0.5)
        case "round_prefer_ceil":
            rounded = tf.floor(source + 0.5)
        case "floor":
            rounded = tf.floor(source)
        case "ceil":
            rounded = tf.math.ceil(source)
        case _:
            rounded = tf.where(tf.cast(axis.factor, dtype) < 1, tf.math.ceil(source), tf.floor(source))
    return tf.cast(tf.clip_by_value(rounded, 0, tf.cast(axis.length, dtype) - 1), tf.int32)


def _nearest(x: tf.Tensor, axis: _Axis, way: _Way) -> tf.Tensor:
    indices = _computed(axis, lambda dtype: _nearest_indices(axis, way, dtype))
    return _extrapolated(tf.gather(x, indices, axis=axis.axis), axis, way)


def _filtered(y: tf.Tensor, axis: _Axis, way: _Way) -> tf.Tensor:
    """Resamples by a filter; y is float32 or float64."""
    if axis.is_static:
        indices = _computed(axis, lambda dtype: _taps(axis, way, dtype)[0])
        weights = _computed(axis, lambda dtype: _taps(axis, way, dtype)[1])
        if axis.length * axis.resized <= _LARGEST_MATRIX or indices.shape[1] > 4:
            matrix = np.zeros((axis.resized, axis.length))
            np.add.at(matrix, (np.arange(axis.resized)[:, None], indices), weights)
            return _extrapolated(_multiplied(y, axis.axis, tf.constant(matrix, y.dtype)), axis, way)
    else:
        indices, weights = _taps(axis, way, y.dtype)
        if way.is_antialiased:
            places = tf.one_hot(indices, axis.length, dtype=y.dtype)
            matrix = tf.squeeze(tf.matmul(weights[:, tf.newaxis], places), 1)
            return _extrapolated(_multiplied(y, axis.axis, matrix), axis, way)
    shape = [-1] + [1] * (y.shape.rank - 1 - axis.axis)
    neighbours = [
        tf.gather(y, indices[:, tap], axis=axis.axis) * tf.reshape(tf.cast(weights[:, tap], y.dtype), shape)
        for tap in range(indices.shape[1])
    ]
    return _extrapolated(tf.add_n(neighbours), axis, way)


def _multiplied(y: tf.Tensor, axis: int, matrix: tf.Tensor) -> tf.Tensor:
    """Multiplies each line along an axis by a matrix [resized, length]."""
    rank = y.shape.rank
    if rank == 1:
        return tf.linalg.matvec(matrix, y)
    if axis == rank - 2:
        return tf.matmul(matrix, y)
    swapped = list(range(rank))
    swapped[axis], swapped[-1] = swapped[-1], axis
    moved = y if axis == rank - 1 else tf.transpose(y, swapped)
    product = tf.matmul(moved, tf.transpose(matrix))
    return product if axis == rank - 1 else tf.transpose(product, swapped)


def _taps(axis: _Axis, way: _Way, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    """The neighbours of each position of the output: their indices in the input and weights, both [resized, taps]."""
    source = _source(axis, way, dtype)[:, tf.newaxis]
    support = 1 if way.mode == "linear" else 2
    shrink = tf.constant(1, dtype)
    offsets = tf.range(1 - support, 1 + support, dtype=dtype)
    if way.is_antialiased:
        shrink = tf.minimum(tf.cast(axis.factor, dtype), 1)
        first = tf.floor(-support / shrink) + 1
        offsets = tf.range(first, 2 - first)
    places = tf.floor(source) + offsets
    weights = _filter(tf.abs(places - source) * shrink, way)
    last = tf.cast(axis.length, dtype) - 1
    if way.excludes_outside:
        weights = tf.where((places >= 0) & (places <= last), weights, tf.zeros_like(weights))
    if way.excludes_outside or way.is_antialiased:
        weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.cast(tf.clip_by_value(places, 0, last), tf.int32), weights


def _filter(distance: tf.Tensor, way: _Way) -> tf.Tensor:
    """The triangle, or Keys' cubic convolution (IEEE Trans. ASSP 29, 1981, equation 4), at a distance >= 0."""
    if way.mode == "linear":
        return tf.maximum(1 - distance, 0)
    a = way.cubic_a
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return tf.where(distance <= 1, near, tf.where(distance < 2, far, tf.zeros_like(far)))


def _extrapolated(y: tf.Tensor, axis: _Axis, way: _Way) -> tf.Tensor:
    """Replaces what was taken from outside the input, where a crop reaches beyond it."""
    if way.coordinates != "tf_crop_and_resize":
        return y
    outside = _computed(axis, lambda dtype: _is_outside(_source(axis, way, dtype), axis))
    if axis.is_static and not outside.any():
        return y
    shape = [-1] + [1] * (y.shape.rank - 1 - axis.axis)
    return tf.where(tf.reshape(outside, shape), tf.cast(way.extrapolation, y.dtype), y)


def _is_outside(source: tf.Tensor, axis: _Axis) -> tf.Tensor:
    return (source < 0) | (source > tf.cast(axis.length, source.dtype) - 1)


_LEGACY, _HALF_PIXEL, _ALIGN_CORNERS = (False, False), (False, True), (True, False)
"""The kinds of TensorFlow's image resizing: whether it aligns corners, and whether centers lie at half a pixel."""

_LINEAR_KINDS = {
    "half_pixel": _HALF_PIXEL,
    "half_pixel_symmetric": _HALF_PIXEL,
    "pytorch_half_pixel": _HALF_PIXEL,
    "align_corners": _ALIGN_CORNERS,
    "asymmetric": _LEGACY,
}

_NEAREST_KINDS = {
    ("half_pixel", "round_prefer_ceil"): _HALF_PIXEL,
    ("half_pixel_symmetric", "round_prefer_ceil"): _HALF_PIXEL,
    ("tf_half_pixel_for_nn", "floor"): _HALF_PIXEL,
    ("align_corners", "round_prefer_ceil"): _ALIGN_CORNERS,
    ("asymmetric", "floor"): _LEGACY,
}
"""What is the same for every length; lengths that are known are compared index by index."""

_NEAREST_DTYPES = (tf.float32, tf.float16, tf.bfloat16, tf.int8, tf.uint8, tf.int16)
_LINEAR_DTYPES = (tf.float32, tf.float16, tf.bfloat16)


def _image_resize(x: tf.Tensor, axes: list[_Axis], way: _Way) -> tf.Tensor | None:
    """The resizing of images that TFLite has built in, where it does just this, for channels first or last."""
    resized = {axis.axis: axis.resized for axis in axes}
    if x.shape.rank != 4 or not (resized.keys() <= {2, 3} or resized.keys() <= {1, 2}):
        return None
    kind = _linear_kind(axes, way) if way.mode == "linear" else _nearest_kind(axes, way)
    if kind is None or x.dtype not in (_LINEAR_DTYPES if way.mode == "linear" else _NEAREST_DTYPES):
        return None
    is_channels_first = resized.keys() <= {2, 3}
    spatial = (2, 3) if is_channels_first else (1, 2)
    size = tf.stack([resized[axis] if axis in resized else _length(x, axis) for axis in spatial])
    images = tf.transpose(x, [0, 2, 3, 1]) if is_channels_first else x
    operator = tf.raw_ops.ResizeBilinear if way.mode == "linear" else tf.raw_ops.ResizeNearestNeighbor
    y = tf.cast(
        operator(images=images, size=size, align_corners=kind[0], half_pixel_centers=kind[1]),
        x.dtype,
    )
    return tf.transpose(y, [0, 3, 1, 2]) if is_channels_first else y


def _linear_kind(axes: list[_Axis], way: _Way) -> tuple[bool, bool] | None:
    if way.is_antialiased or not all(axis.is_by_ratio for axis in axes):
        return None
    # For an output of one element PyTorch itself takes the center, not what this mode says: so do unknown lengths.
    if way.coordinates == "pytorch_half_pixel" and any(axis.is_static and axis.resized == 1 for axis in axes):
        return None
    return _LINEAR_KINDS.get(way.coordinates)


def _nearest_kind(axes: list[_Axis], way: _Way) -> tuple[bool, bool] | None:
    if way.mode != "nearest" or way.coordinates == "tf_crop_and_resize":
        return None
    for kind in (_LEGACY, _HALF_PIXEL, _ALIGN_CORNERS):
        if all(_is_nearest_kind(axis, way, kind) for axis in axes):
            return kind
    return None


def _is_nearest_kind(axis: _Axis, way: _Way, kind: tuple[bool, bool]) -> bool:
    if not axis.is_static:
        if axis.is_by_ratio and _NEAREST_KINDS.get((way.coordinates, way.rounding)) == kind:
            return True
        if not axis.is_whole:
            return False
        # The pattern of a whole factor repeats: a short axis shows it.
        axis = _Axis(axis.axis, 8, 8 * int(axis.scale), axis.scale)
    indices = _computed(axis, lambda dtype: _nearest_indices(axis, way, dtype))
    return bool(np.array_equal(indices, _nearest_indices_of_images(axis.length, axis.resized, kind)))


def _nearest_indices_of_images(length: int, resized: int, kind: tuple[bool, bool]) -> NDArray[np.int64]:
    """What ResizeNearestNeighbor takes, in its own precision: tensorflow/core/kernels/image/."""
    aligns_corners, has_half_pixel_centers = kind
    x = np.arange(resized, dtype=np.float32)
    if aligns_corners and resized > 1:
        places = np.floor(x * np.float32((length - 1) / (resized - 1)) + np.float32(0.5))
    else:
        places = np.floor((x + np.float32(0.5 * has_half_pixel_centers)) * np.float32(length / resized))
    indices: NDArray[np.int64] = np.minimum(places, length - 1).astype(np.int64)
    return indices
