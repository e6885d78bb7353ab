"""Whole numbers that stand for real ones: quantizing, dequantizing, and products of what is quantized.

A real number is ``scale * (quantized - zero_point)``. Products are exact: they are taken in float32, in which every
whole number below 2**24 is exact, of operands that are cut into digits where the sum could become larger.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import tensorflow as tf

from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.small_types import from_small, is_small, to_small
from pipeline.onnx_to_tf.registry import Family

__all__ = [
    "dequantized",
    "dynamically_quantized",
    "integer_product",
    "largest",
    "matrix_product",
    "ops",
    "quantized",
    "requantized",
    "rescale",
    "shifted",
    "to_float",
]

ops = Family("Quantization")

_EXACT = 1 << 24
"""Below this every whole number is a float32."""

_DEEPEST = (1 << 16) - 1
"""Factors of 9 bit, more than these of which to a sum may overflow an int32."""

_LOWEST_HIGHEST = {"int4": (-8.0, 7.0), "uint4": (0.0, 15.0)}

Axis = tuple[int, int]
"""The axis along which parameters vary, and how many entries share one: 0 where each has its own."""


@ops.register("QuantizeLinear", 10, 13, 19, 21, 23, 24, 25)
def quantize_linear(node: Node, x: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor | None = None) -> tf.Tensor:
    """``x / scale`` rounded half to even, plus the zero point, saturated.

    The scale is a scalar, a vector along ``axis``, or of the rank of x with one entry a block.
    """
    dtype = _quantized_dtype(node, zero_point)
    axis = _axis(node, x)
    ratio = _quotient(tf.cast(x, tf.float32), _along(node, to_float(node, scale), x, axis))
    # The quotient is rounded to a type of its own first: since version 23 to that of the scale, unless told otherwise.
    stated = node.integer("precision", 0)
    if stated or node.version >= 23:
        precision = tensorflow_dtype(ir.DataType(stated)) if stated else scale.dtype
        ratio = ratio if precision == tf.float32 else tf.cast(tf.cast(ratio, precision), tf.float32)
    if dtype.name.startswith("float"):
        return to_small(tf.cast(ratio, tf.float32), dtype, is_saturated=bool(node.integer("saturate", 1)))
    offset = None if zero_point is None else _along(node, to_float(node, zero_point), x, axis)
    return _saturated(tf.round(ratio) if offset is None else tf.round(ratio) + offset, dtype)


@ops.register("DequantizeLinear", 10, 13, 19, 21, 23, 24, 25)
def dequantize_linear(node: Node, x: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor | None = None) -> tf.Tensor:
    """``(x - zero_point) * scale``, in float32 whatever the scale's type, then of that type or of ``output_dtype``."""
    stated = node.integer("output_dtype", 0)
    dtype = tensorflow_dtype(ir.DataType(stated)) if stated else scale.dtype
    axis = _axis(node, x)
    if zero_point is None or x.dtype.name.startswith("float"):
        difference = to_float(node, x)
    elif x.dtype == tf.int32:
        difference = tf.cast(x - _along(node, zero_point, x, axis), tf.float32)
    else:
        difference = to_float(node, x) - _along(node, to_float(node, zero_point), x, axis)
    return tf.cast(difference * _along(node, to_float(node, scale), x, axis), dtype)


@ops.register("DynamicQuantizeLinear", 11)
def dynamic_quantize_linear(node: Node, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Quantizes to uint8 over the range of x, widened to hold 0; gives also scale and zero point, both scalars."""
    return dynamically_quantized(x)


@ops.register("MatMulInteger", 10)
def matmul_integer(
    node: Node, a: tf.Tensor, b: tf.Tensor, a_zero: tf.Tensor | None = None, b_zero: tf.Tensor | None = None
) -> tf.Tensor:
    """The product of ``a - a_zero`` and ``b - b_zero``, int32; a zero point may vary by row, by column."""
    return matrix_product(node, a, b, _by_row(a_zero), b_zero)


@ops.register("QLinearMatMul", 10, 21)
def qlinear_matmul(
    node: Node,
    a: tf.Tensor,
    a_scale: tf.Tensor,
    a_zero: tf.Tensor,
    b: tf.Tensor,
    b_scale: tf.Tensor,
    b_zero: tf.Tensor,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor,
) -> tf.Tensor:
    """The product of two quantized matrices, quantized; a's parameters may vary by row, b's by column, y's by row."""
    product = matrix_product(node, a, b, _by_row(a_zero), b_zero)
    scale = rescale(node, _by_row(a_scale), b_scale, _by_row(y_scale))
    return requantized(product, scale, _by_row(y_zero))


def rescale(node: Node, a: tf.Tensor, b: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """``a * b / y`` of scales, in this order, float32."""
    known = [node.static(scale) for scale in (a, b, y)]
    if all(array is not None for array in known):
        # TensorFlow's optimizer multiplies constants in an order of its own.
        a, b, y = (np.asarray(array, np.float32) for array in known)
        return tf.constant(np.asarray(a * b / y, np.float32))
    a, b, y = (tf.cast(scale, tf.float32) for scale in (a, b, y))
    return a * b / y


def _quotient(x: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``x / scale``, to the last bit: halves, which are frequent, would round the other way.

    TensorFlow's optimizer turns a division by a constant into a product with its reciprocal, but not this one. The
    converter of TensorFlow Lite does so with each: its answers may differ by one where x lies halfway between two.
    """
    return tf.math.divide_no_nan(x, scale)


def quantized(x: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor) -> tf.Tensor:
    """Quantizes x, float32, to the zero point's type, with parameters that broadcast against it."""
    return _saturated(tf.round(_quotient(x, scale)) + tf.cast(zero_point, tf.float32), zero_point.dtype)


def dequantized(x: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor | None) -> tf.Tensor:
    """What quantized x of at most 16 bit stands for, float32, with parameters that broadcast against it."""
    return shifted(x, zero_point) * scale


def requantized(product: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor) -> tf.Tensor:
    """Scales a product, int32, and quantizes it to the zero point's type; scale and zero point broadcast against it.

    In float32 and in this order, as ONNX Runtime does it: ``MlasRequantizeOutput`` in its mlas/lib/quantize.cpp.
    """
    offset = tf.cast(zero_point, tf.float32)
    return _saturated(tf.round(tf.cast(product, tf.float32) * scale) + offset, zero_point.dtype)


def dynamically_quantized(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of x, float32: it as uint8, the scale, the zero point; the formulas are those of ONNX's DynamicQuantizeLinear."""
    low = tf.minimum(tf.reduce_min(x), 0.0)
    high = tf.maximum(tf.reduce_max(x), 0.0)
    span = _quotient(high - low, tf.constant(255.0))
    # ONNX leaves a tensor of zeros open; ONNX Runtime takes the scale 1.
    scale = tf.where(tf.equal(high, low), tf.ones_like(span), span)
    zero_point = tf.round(tf.clip_by_value(0.0 - low / scale, 0.0, 255.0))
    return _saturated(tf.round(x / scale) + zero_point, tf.uint8), scale, tf.cast(zero_point, tf.uint8)


def shifted(x: tf.Tensor, zero_point: tf.Tensor | None) -> tf.Tensor:
    """``x - zero_point``, float32, of x of at most 16 bit; the zero point broadcasts against it."""
    wide = tf.cast(x, tf.float32)
    return wide if zero_point is None else wide - tf.cast(zero_point, tf.float32)


def largest(node: Node, x: tf.Tensor, zero_point: tf.Tensor | None) -> int:
    """A bound of the absolute value of ``x - zero_point``, from what is known at conversion."""
    low, high = int(x.dtype.min), int(x.dtype.max)
    if zero_point is None:
        return max(-low, high)
    known = node.static(zero_point)
    if known is None:
        return high - low
    return max(int(known.max()) - low, high - int(known.min()))


def matrix_product(
    node: Node, a: tf.Tensor, b: tf.Tensor, a_zero: tf.Tensor | None, b_zero: tf.Tensor | None
) -> tf.Tensor:
    """The product of ``a - a_zero`` and ``b - b_zero``, as NumPy multiplies matrices, int32.

    Args:
        node: whose product it is.
        a: of 8 bit, [..., M, K] or [K].
        b: of 8 bit, [..., K, N] or [K].
        a_zero: broadcasts against a.
        b_zero: broadcasts against b.
    """
    depth = a.shape[-1] if a.shape[-1] is not None else b.shape[0 if b.shape.rank == 1 else -2]
    bound_b = _summed(node, b, b_zero, axis=0 if b.shape.rank == 1 else -2)
    if bound_b is None:
        bound_b = None if depth is None else depth * largest(node, b, b_zero)
    return integer_product(
        _matmul, shifted(a, a_zero), shifted(b, b_zero), bound_a=largest(node, a, a_zero), bound_b=bound_b
    )


def integer_product(
    multiply: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    a: tf.Tensor,
    b: tf.Tensor,
    *,
    bound_a: int,
    bound_b: int | None,
) -> tf.Tensor:
    """A product of whole numbers, exact, int32.

    Args:
        multiply: bilinear, such as a product of matrices or a convolution.
        a: whole numbers of up to 9 bit, float32.
        b: whole numbers of up to 9 bit, float32.
        bound_a: of the absolute value of an entry of a.
        bound_b: of the sum of the absolute values of those entries of b that make one entry of the product; None where
            it is not known.
    """
    bits = 0 if bound_b is None else (_EXACT // bound_b).bit_length() - 1
    if bound_b is None or bits < 1:
        digits, rest_of_b = _digits(b, 4)
        bound_b = _DEEPEST << 4
        low = integer_product(multiply, a, digits, bound_a=bound_a, bound_b=bound_b)
        return low + integer_product(multiply, a, rest_of_b, bound_a=bound_a, bound_b=bound_b) * 16
    if bound_a * bound_b < _EXACT:
        # A product may be computed by a transformation, such as Winograd's: rounding makes it whole again.
        return tf.cast(tf.round(multiply(a, b)), tf.int32)
    digits, rest_of_a = _digits(a, bits)
    low = integer_product(multiply, digits, b, bound_a=(1 << bits) - 1, bound_b=bound_b)
    rest = integer_product(multiply, rest_of_a, b, bound_a=-(-bound_a >> bits), bound_b=bound_b)
    return low + rest * (1 << bits)


def _digits(x: tf.Tensor, bits: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Whole numbers as digits of so many bits, none of them negative, and what stands above these."""
    base = float(1 << bits)
    rest = tf.floor(x * (1.0 / base))
    return x - rest * base, rest


def _summed(node: Node, b: tf.Tensor, zero_point: tf.Tensor | None, *, axis: int) -> int | None:
    """The largest sum of absolute values along an axis of weights that are known at conversion."""
    known, zero = node.static(b), np.int64(0) if zero_point is None else node.static(zero_point)
    if known is None or zero is None or not known.size:
        return None
    return max(1, int(np.abs(known.astype(np.int64) - zero.astype(np.int64)).sum(axis=axis).max()))


def _matmul(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """NumPy's product: a vector is a row on the left, a column on the right, and leaves no axis."""
    product = tf.matmul(a[tf.newaxis, :] if a.shape.rank == 1 else a, b[:, tf.newaxis] if b.shape.rank == 1 else b)
    if b.shape.rank == 1:
        product = tf.squeeze(product, -1)
    if a.shape.rank == 1:
        product = tf.squeeze(product, -1 if b.shape.rank == 1 else -2)
    return product


def _by_row(parameter: tf.Tensor | None) -> tf.Tensor | None:
    """A vector of parameters of the left factor has one entry a row; one of another rank broadcasts as it is."""
    if parameter is not None and parameter.shape.rank == 1 and parameter.shape[0] != 1:
        return parameter[:, tf.newaxis]
    return parameter


def _quantized_dtype(node: Node, zero_point: tf.Tensor | None) -> tf.DType:
    if zero_point is not None:
        return zero_point.dtype
    stated = node.integer("output_dtype", 0)
    return tensorflow_dtype(ir.DataType(stated)) if stated else tf.uint8


def _axis(node: Node, x: tf.Tensor) -> Axis:
    # com.microsoft's operators have the same axis, without a default; without it the scale is a scalar.
    axis = node.integer("axis", 1)
    if x.shape.rank is not None and axis < 0:
        axis += x.shape.rank
    return axis, node.integer("block_size", 0)


def _along(node: Node, parameter: tf.Tensor, x: tf.Tensor, along: Axis) -> tf.Tensor:
    """A scale or zero point, brought to a shape that broadcasts against x."""
    axis, block = along
    rank = parameter.shape.rank
    if rank == 0 or (parameter.shape.num_elements() == 1 and not block):
        return tf.reshape(parameter, [])
    if rank is None or x.shape.rank is None:
        raise node.unsupported("the rank of its input or of its scale is unknown; state it, unknown axes and all")
    if block:
        repeated = tf.repeat(parameter, block, axis=axis)
        if repeated.shape[axis] is not None and repeated.shape[axis] == x.shape[axis]:
            return repeated
        # The last block may be cut short.
        size = tf.concat([tf.shape(repeated)[:axis], tf.shape(x)[axis : axis + 1], tf.shape(repeated)[axis + 1 :]], 0)
        return tf.slice(repeated, [0] * rank, size)
    if rank != 1:
        raise node.unsupported(f"its scale has {rank} axes without a block_size; give a scalar or a vector")
    return tf.reshape(parameter, [-1 if position == axis else 1 for position in range(x.shape.rank)])


def to_float(node: Node, x: tf.Tensor) -> tf.Tensor:
    """X as float32, of whatever type."""
    return tf.cast(from_small(node, x) if is_small(x.dtype) else x, tf.float32)


def _saturated(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Whole numbers in float32, saturated to a type of at most 16 bit."""
    low, high = _LOWEST_HIGHEST.get(dtype.name) or (float(dtype.min), float(dtype.max))
    clipped = tf.clip_by_value(x, low, high)
    return tf.cast(tf.cast(clipped, tf.int32), dtype) if dtype.name in _LOWEST_HIGHEST else tf.cast(clipped, dtype)
