"""Convolutions of what is quantized, and convolutions as ONNX Runtime's optimizer fuses them."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.ops.convolution import conv, convolution
from pipeline.onnx_to_tf.ops.layouts import channels_first, channels_last
from pipeline.onnx_to_tf.ops.microsoft_fused import activated
from pipeline.onnx_to_tf.ops.quantization import (
    integer_product,
    largest,
    requantized,
    rescale,
    shifted,
)
from pipeline.onnx_to_tf.registry import Family

__all__ = ["ops"]

ops = Family("Convolutions of integers and fused ones")

_MICROSOFT = "com.microsoft"


@ops.register("ConvInteger", 10)
def conv_integer(
    node: Node, x: tf.Tensor, w: tf.Tensor, x_zero: tf.Tensor | None = None, w_zero: tf.Tensor | None = None
) -> tf.Tensor:
    """The convolution of ``x - x_zero`` with ``w - w_zero``, int32; w_zero may vary by output channel."""
    return _convolved(node, x, w, x_zero, w_zero)


@ops.register("QLinearConv", 10)
@ops.register("QLinearConv", domain=_MICROSOFT)
def qlinear_conv(
    node: Node,
    x: tf.Tensor,
    x_scale: tf.Tensor,
    x_zero: tf.Tensor,
    w: tf.Tensor,
    w_scale: tf.Tensor,
    w_zero: tf.Tensor,
    y_scale: tf.Tensor,
    y_zero: tf.Tensor,
    bias: tf.Tensor | None = None,
) -> tf.Tensor:
    """A convolution of quantized numbers, quantized; w's parameters may vary by output channel, the bias is int32.

    ONNX Runtime's own also takes and gives channels last.
    """
    is_last = bool(node.integer("channels_last", 0))
    product = _convolved(node, channels_first(x) if is_last else x, w, x_zero, w_zero)
    spatial = _spatial(node, w)
    if bias is not None:
        product = product + tf.reshape(bias, [-1, *[1] * spatial])
    scale = rescale(node, x_scale, w_scale, y_scale)
    if scale.shape.num_elements() != 1:
        scale = tf.reshape(scale, [-1, *[1] * spatial])
    y = requantized(product, scale, y_zero)
    return channels_last(y) if is_last else y


@ops.register("FusedConv", domain=_MICROSOFT)
def fused_conv(
    node: Node, x: tf.Tensor, w: tf.Tensor, bias: tf.Tensor | None = None, added: tf.Tensor | None = None
) -> tf.Tensor:
    """A convolution, to which a tensor may be added, with an activation behind it."""
    y = conv(node, x, w, bias)
    return activated(node, y if added is None else y + added, node.numbers("activation_params", None))


@ops.register("NhwcFusedConv", domain=_MICROSOFT)
def nhwc_fused_conv(
    node: Node, x: tf.Tensor, w: tf.Tensor, bias: tf.Tensor | None = None, added: tf.Tensor | None = None
) -> tf.Tensor:
    """As FusedConv, channels last."""
    y = channels_last(conv(node, channels_first(x), w, bias))
    return activated(node, y if added is None else y + added, node.numbers("activation_params", None))


def _convolved(node: Node, x: tf.Tensor, w: tf.Tensor, x_zero: tf.Tensor | None, w_zero: tf.Tensor | None) -> tf.Tensor:
    spatial = _spatial(node, w)
    if w_zero is not None and w_zero.shape.rank == 1 and w_zero.shape[0] != 1:
        known_zero = node.static(w_zero)
        w_zero_by_channel = tf.reshape(w_zero, [-1, *[1] * (spatial + 1)])
    else:
        known_zero = np.zeros(1, np.int64) if w_zero is None else node.static(w_zero)
        w_zero_by_channel = w_zero
    return integer_product(
        lambda a, b: convolution(node, a, b),
        shifted(x, x_zero),
        shifted(w, w_zero_by_channel),
        bound_a=largest(node, x, x_zero),
        bound_b=_summed(node, w, w_zero, known_zero),
    )


def _summed(node: Node, w: tf.Tensor, w_zero: tf.Tensor | None, known_zero: NDArray[Any] | None) -> int | None:
    """A bound of the sum of the absolute values of the weights of one output channel."""
    known = node.static(w)
    if known is not None and known_zero is not None:
        shifted_weights = known.astype(np.int64).reshape(known.shape[0], -1) - np.reshape(known_zero, (-1, 1))
        return max(1, int(np.abs(shifted_weights).sum(1).max()))
    size = w.shape[1:].num_elements()
    return None if size is None else size * largest(node, w, w_zero)


def _spatial(node: Node, w: tf.Tensor) -> int:
    if w.shape.rank is None:
        raise node.unsupported("the rank of its weights is unknown; state it, unknown axes and all")
    return int(w.shape.rank) - 2
