"""Pooling as ONNX Runtime's quantization tools and its optimizer write it."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.layouts import channels_first, channels_last
from pipeline.onnx_to_tf.ops.pooling import average_pool, max_pool
from pipeline.onnx_to_tf.ops.quantization import dequantized, quantized
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Pooling of ONNX Runtime")

_MICROSOFT = "com.microsoft"


@ops.register("NhwcMaxPool", domain=_MICROSOFT)
def nhwc_max_pool(node: Node, x: tf.Tensor) -> tf.Tensor:
    """MaxPool, channels last."""
    y = max_pool(node, channels_first(x))
    return channels_last(y[0] if isinstance(y, tuple) else y)


@ops.register("QLinearAveragePool", domain=_MICROSOFT)
def qlinear_average_pool(
    node: Node,
    x: tf.Tensor,
    x_scale: tf.Tensor,
    x_zero: tf.Tensor | None,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor | None = None,
) -> tf.Tensor:
    """AveragePool of quantized numbers, channels first or last."""
    real = dequantized(x, x_scale, x_zero)
    zero = tf.zeros([], x.dtype) if y_zero is None else y_zero
    if node.integer("channels_last", 0):
        return quantized(channels_last(average_pool(node, channels_first(real))), y_scale, zero)
    return quantized(average_pool(node, real), y_scale, zero)
