"""Quantized operators of ONNX Runtime: what its quantization tools and its optimizer write beside ONNX's own.

Parameters are scalars unless told otherwise. Sums and products are rounded once, half to even, with the zero point
added before: as ONNX Runtime's kernels do it.
"""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.quantization import (
    dequantize_linear,
    dequantized,
    dynamically_quantized,
    matrix_product,
    quantize_linear,
    quantized,
    requantized,
    shifted,
)
from pipeline.onnx_to_tf.ops.recurrent import quantized_long_short_term_memory
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Quantization of ONNX Runtime")

_MICROSOFT = "com.microsoft"

ops.register("QuantizeLinear", domain=_MICROSOFT)(quantize_linear)
ops.register("DequantizeLinear", domain=_MICROSOFT)(dequantize_linear)


@ops.register("DynamicQuantizeMatMul", domain=_MICROSOFT)
def dynamic_quantize_matmul(
    node: Node,
    a: tf.Tensor,
    b: tf.Tensor,
    b_scale: tf.Tensor,
    b_zero: tf.Tensor | None = None,
    bias: tf.Tensor | None = None,
) -> tf.Tensor:
    """Quantizes a over its range, multiplies with the quantized b, whose parameters may vary by column; float32."""
    codes, a_scale, a_zero = dynamically_quantized(a)
    return _scaled(matrix_product(node, codes, b, a_zero, b_zero), a_scale, b_scale, bias)


@ops.register("MatMulIntegerToFloat", domain=_MICROSOFT)
def matmul_integer_to_float(
    node: Node,
    a: tf.Tensor,
    b: tf.Tensor,
    a_scale: tf.Tensor,
    b_scale: tf.Tensor,
    a_zero: tf.Tensor | None = None,
    b_zero: tf.Tensor | None = None,
    bias: tf.Tensor | None = None,
) -> tf.Tensor:
    """A product of quantized matrices in floating point; b's parameters may vary by column."""
    return _scaled(matrix_product(node, a, b, a_zero, b_zero), a_scale, b_scale, bias)


@ops.register("QGemm", domain=_MICROSOFT)
def qgemm(
    node: Node,
    a: tf.Tensor,
    a_scale: tf.Tensor,
    a_zero: tf.Tensor,
    b: tf.Tensor,
    b_scale: tf.Tensor,
    b_zero: tf.Tensor,
    c: tf.Tensor | None = None,
    y_scale: tf.Tensor | None = None,
    y_zero: tf.Tensor | None = None,
) -> tf.Tensor:
    """``alpha * (A @ B + C)`` of quantized matrices, C int32; quantized, or float32 where y has no scale."""
    a = tf.transpose(a) if node.integer("transA", 0) else a
    b = tf.transpose(b) if node.integer("transB", 0) else b
    product = matrix_product(node, a, b, a_zero, b_zero)
    product = product if c is None else product + c
    scale = a_scale * b_scale * node.number("alpha", 1.0)
    if y_scale is None or y_zero is None:
        return tf.cast(product, tf.float32) * scale
    return requantized(product, scale / y_scale, y_zero)


@ops.register("QLinearAdd", domain=_MICROSOFT)
def qlinear_add(
    node: Node,
    a: tf.Tensor,
    a_scale: tf.Tensor,
    a_zero: tf.Tensor | None,
    b: tf.Tensor,
    b_scale: tf.Tensor,
    b_zero: tf.Tensor | None,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor | None = None,
) -> tf.Tensor:
    """The sum."""
    total = shifted(a, a_zero) * (a_scale / y_scale) + shifted(b, b_zero) * (b_scale / y_scale)
    return _rounded(total, _zero(y_zero, a))


@ops.register("QLinearMul", domain=_MICROSOFT)
def qlinear_mul(
    node: Node,
    a: tf.Tensor,
    a_scale: tf.Tensor,
    a_zero: tf.Tensor | None,
    b: tf.Tensor,
    b_scale: tf.Tensor,
    b_zero: tf.Tensor | None,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor | None = None,
) -> tf.Tensor:
    """The product, entry by entry."""
    # Whole: TensorFlow's optimizer would else multiply one factor with the scale first, which rounds otherwise.
    product = tf.cast(shifted(a, a_zero) * shifted(b, b_zero), tf.int32)
    return _rounded(tf.cast(product, tf.float32) * (a_scale * b_scale / y_scale), _zero(y_zero, a))


@ops.register("QLinearSigmoid", domain=_MICROSOFT)
def qlinear_sigmoid(
    node: Node,
    x: tf.Tensor,
    x_scale: tf.Tensor,
    x_zero: tf.Tensor | None,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor | None = None,
) -> tf.Tensor:
    """The logistic function."""
    return quantized(tf.sigmoid(dequantized(x, x_scale, x_zero)), y_scale, _zero(y_zero, x))


@ops.register("QLinearLeakyRelu", domain=_MICROSOFT)
def qlinear_leaky_relu(
    node: Node,
    x: tf.Tensor,
    x_scale: tf.Tensor,
    x_zero: tf.Tensor | None,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor | None = None,
) -> tf.Tensor:
    """The identity, less steep below zero."""
    real = tf.nn.leaky_relu(dequantized(x, x_scale, x_zero), node.number("alpha", 0.01))
    return quantized(real, y_scale, _zero(y_zero, x))


@ops.register("QLinearSoftmax", domain=_MICROSOFT)
def qlinear_softmax(
    node: Node,
    x: tf.Tensor,
    x_scale: tf.Tensor,
    x_zero: tf.Tensor | None,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor,
) -> tf.Tensor:
    """Softmax along an axis, or before opset 13 over all axes from it on.

    As ONNX Runtime (qlinear_softmax.cc), with a whole number of steps to 1, rounded half up. It takes exponentials from
    a table of whole numbers: an answer may differ from its own by one.
    """
    rank = x.shape.rank
    if rank is None:
        raise node.unsupported("the rank of its input is unknown; state it, unknown axes and all")
    axis = node.integer("axis", -1) % rank
    real = tf.cast(x, tf.float32) * x_scale
    if node.integer("opset") >= 13 or axis == rank - 1:
        shares = tf.nn.softmax(real, axis)
    else:
        flat = tf.reshape(real, tf.concat([tf.shape(real)[:axis], [-1]], 0))
        shares = tf.ensure_shape(tf.reshape(tf.nn.softmax(flat), tf.shape(real)), x.shape)
    return _rounded(tf.floor(shares * tf.floor(1.0 / y_scale) + 0.5), y_zero)


@ops.register("QLinearConcat", domain=_MICROSOFT)
def qlinear_concat(node: Node, y_scale: tf.Tensor, y_zero: tf.Tensor, *inputs: tf.Tensor) -> tf.Tensor:
    """Joins tensors, each followed by its scale and zero point, after quantizing them anew."""
    parts = [
        quantized(dequantized(x, scale, zero), y_scale, y_zero)
        for x, scale, zero in zip(inputs[::3], inputs[1::3], inputs[2::3], strict=True)
    ]
    return tf.concat(parts, node.integer("axis"))


@ops.register("QLinearWhere", domain=_MICROSOFT)
def qlinear_where(
    node: Node,
    condition: tf.Tensor,
    x: tf.Tensor,
    x_scale: tf.Tensor,
    x_zero: tf.Tensor,
    y: tf.Tensor,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor,
    z_scale: tf.Tensor,
    z_zero: tf.Tensor,
) -> tf.Tensor:
    """Of x where the condition holds, else of y, quantized anew."""
    real = tf.where(condition, dequantized(x, x_scale, x_zero), dequantized(y, y_scale, y_zero))
    return quantized(real, z_scale, z_zero)


@ops.register("QLinearGlobalAveragePool", domain=_MICROSOFT)
def qlinear_global_average_pool(
    node: Node, x: tf.Tensor, x_scale: tf.Tensor, x_zero: tf.Tensor, y_scale: tf.Tensor, y_zero: tf.Tensor
) -> tf.Tensor:
    """The mean over all axes but batch and channel."""
    rank = x.shape.rank
    if rank is None:
        raise node.unsupported("the rank of its input is unknown; state it, unknown axes and all")
    first = 1 if node.integer("channels_last", 0) else 2
    axes = list(range(first, first + rank - 2))
    count = tf.reduce_prod(tf.shape(x)[first : first + rank - 2])
    total = tf.reduce_sum(tf.cast(x, tf.int32), axes, keepdims=True) - count * tf.cast(x_zero, tf.int32)
    return requantized(total, x_scale / (y_scale * tf.cast(count, tf.float32)), y_zero)


@ops.register("DynamicQuantizeLSTM", domain=_MICROSOFT)
def dynamic_quantize_lstm(
    node: Node,
    x: tf.Tensor,
    w: tf.Tensor,
    r: tf.Tensor,
    b: tf.Tensor | None,
    lengths: tf.Tensor | None,
    h: tf.Tensor | None,
    c: tf.Tensor | None,
    p: tf.Tensor | None,
    w_scale: tf.Tensor,
    w_zero: tf.Tensor,
    r_scale: tf.Tensor,
    r_zero: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """An LSTM with quantized weights, [directions, input, gates * hidden], their parameters by direction or column.

    The input is quantized over its range, and the output of each step over its own, that of the whole batch. ONNX
    Runtime quantizes apart the rows of the batch that it gives to different threads.
    """

    def rounded(values: tf.Tensor) -> tf.Tensor:
        codes, scale, zero_point = dynamically_quantized(values)
        return dequantized(codes, scale, zero_point)

    if lengths is not None:
        # What lies behind the longest sequence does not widen the range.
        is_inside = tf.range(tf.shape(x)[0]) < tf.cast(tf.reduce_max(lengths), tf.int32)
        x = tf.where(is_inside[:, tf.newaxis, tf.newaxis], x, tf.zeros_like(x))
    w, r = _weights(w, w_scale, w_zero), _weights(r, r_scale, r_zero)
    return quantized_long_short_term_memory(node, x, w, r, b, lengths, h, c, p, rounded)


def _weights(codes: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor) -> tf.Tensor:
    """Dequantized, and transposed to [directions, gates * hidden, input]."""
    # [directions], or [directions, gates * hidden].
    parameters = [x[:, tf.newaxis] if x.shape.rank == 2 else x[:, tf.newaxis, tf.newaxis] for x in (scale, zero_point)]
    return tf.transpose(dequantized(codes, *parameters), [0, 2, 1])


@ops.register("MatMulNBits", domain=_MICROSOFT)
def matmul_n_bits(
    node: Node,
    a: tf.Tensor,
    b: tf.Tensor,
    scales: tf.Tensor,
    zero_points: tf.Tensor | None = None,
    groups: tf.Tensor | None = None,
    bias: tf.Tensor | None = None,
) -> tf.Tensor:
    """The product with weights of 2, 4 or 8 bit, packed into bytes, each block of a column with a scale of its own.

    Args:
        node: states K and N, the weights' rows and columns, bits and block_size.
        a: [..., K].
        b: uint8, [N, blocks, block_size * bits / 8], the first of a byte's weights in its lowest bits.
        scales: [N, blocks].
        zero_points: uint8, packed like b along the blocks, or of a's type, [N, blocks]; default: the middle.
        groups: not supported.
        bias: [N].
    """
    bits, rows, columns = node.integer("bits", 4), node.integer("K"), node.integer("N")
    if groups is not None or node.integer("weight_prepacked", 0) or bits not in (2, 4, 8):
        raise node.unsupported("its weights are sorted by g_idx, prepacked, or not of 2, 4 or 8 bit")
    block = node.integer("block_size")
    blocks = -(-rows // block)
    codes = tf.reshape(_unpacked(tf.reshape(b, [columns, blocks, -1]), bits), [columns, blocks, block])
    scales = tf.reshape(scales, [columns, blocks, 1])
    if zero_points is None:
        middle = tf.constant(float(1 << (bits - 1)), a.dtype)
    elif zero_points.dtype == tf.uint8:
        unpacked = _unpacked(tf.reshape(zero_points, [columns, -1]), bits)[:, :blocks]
        middle = tf.cast(tf.reshape(unpacked, [columns, blocks, 1]), a.dtype)
    else:
        middle = tf.reshape(zero_points, [columns, blocks, 1])
    weights = tf.reshape((tf.cast(codes, a.dtype) - middle) * scales, [columns, blocks * block])[:, :rows]
    product = tf.matmul(a, tf.transpose(weights))
    return product if bias is None else product + bias


@ops.register("GatherBlockQuantized", domain=_MICROSOFT)
def gather_block_quantized(
    node: Node, table: tf.Tensor, indices: tf.Tensor, scales: tf.Tensor, zero_points: tf.Tensor | None = None
) -> tf.Tensor:
    """Rows of a quantized table, dequantized; each block of the last axis has a scale of its own.

    Args:
        node: states block_size, and bits where the table is uint8: packed, the first number in the lowest bits.
        table: int4, uint4 or uint8.
        indices: of the rows, of any rank.
        scales: of the result's type, as many axes as the table.
        zero_points: of the table's type, packed like it; default: 0, or for uint8 the middle.
    """
    rank = table.shape.rank
    if rank is None or node.integer("gather_axis", 0) or node.integer("quantize_axis", 1) not in (-1, rank - 1):
        raise node.unsupported("it does not take rows of a table quantized along its last axis; gather_axis=0 would do")
    if table.dtype == tf.uint8:
        bits = node.integer("bits", 4)
        table = _unpacked(table, bits)
        zeros = tf.constant(1 << (bits - 1)) if zero_points is None else _unpacked(zero_points, bits)
    elif table.dtype in (tf.int4, tf.uint4):
        table = tf.cast(table, tf.int32)
        zeros = tf.constant(0) if zero_points is None else tf.cast(zero_points, tf.int32)
    else:
        raise node.unsupported(f"its table is {table.dtype.name}; int4, uint4 and uint8 would do")
    rows, row_scales = tf.gather(table, indices), tf.gather(scales, indices)
    zeros = zeros if zero_points is None else tf.gather(zeros, indices)[..., : scales.shape[-1]]
    width, block = table.shape[-1], node.integer("block_size", 128)
    apart = [tf.repeat(x, block, axis=-1)[..., :width] if x.shape.rank else x for x in (row_scales, zeros)]
    return tf.cast(rows - apart[1], scales.dtype) * apart[0]


def _unpacked(packed: tf.Tensor, bits: int) -> tf.Tensor:
    """Bytes to the numbers in them, int32; the last axis grows."""
    wide = tf.cast(packed, tf.int32)
    if bits == 8:
        return wide
    # Division instead of shifts, which not every runtime has for int32.
    digits = [tf.math.floormod(wide // (1 << shift), 1 << bits) for shift in range(0, 8, bits)]
    return tf.reshape(tf.stack(digits, -1), [*packed.shape[:-1], packed.shape[-1] * (8 // bits)])


def _scaled(product: tf.Tensor, a_scale: tf.Tensor, b_scale: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    real = tf.cast(tf.cast(product, tf.float32) * tf.cast(a_scale * b_scale, tf.float32), a_scale.dtype)
    return real if bias is None else real + bias


def _zero(zero_point: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
    return tf.zeros([], like.dtype) if zero_point is None else zero_point


def _rounded(x: tf.Tensor, zero_point: tf.Tensor) -> tf.Tensor:
    """Adds the zero point, then rounds, then saturates: the order of ONNX Runtime's sums and products."""
    dtype = zero_point.dtype
    whole = tf.round(x + tf.cast(zero_point, tf.float32))
    return tf.cast(tf.clip_by_value(whole, float(dtype.min), float(dtype.max)), dtype)
