"""Products and activations as ONNX Runtime's optimizer fuses them."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Family

__all__ = ["activated", "ops"]

ops = Family("Fusions of ONNX Runtime")

_MICROSOFT = "com.microsoft"


def _clip(x: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return tf.nn.relu6(x) if (low, high) == (0.0, 6.0) else tf.clip_by_value(x, low, high)


_ACTIVATIONS: dict[str, tuple[Callable[..., tf.Tensor], tuple[float, ...]]] = {
    "Relu": (tf.nn.relu, ()),
    "Tanh": (tf.tanh, ()),
    "Sigmoid": (tf.sigmoid, ()),
    "Softplus": (tf.nn.softplus, ()),
    "Softsign": (tf.nn.softsign, ()),
    "LeakyRelu": (lambda x, alpha: tf.nn.leaky_relu(x, alpha), (0.01,)),
    "Elu": (lambda x, alpha: tf.where(x > 0, x, alpha * tf.nn.elu(tf.minimum(x, 0))), (1.0,)),
    "ThresholdedRelu": (lambda x, alpha: tf.where(x > alpha, x, tf.zeros_like(x)), (1.0,)),
    "HardSigmoid": (lambda x, alpha, beta: tf.clip_by_value(alpha * x + beta, 0.0, 1.0), (0.2, 0.5)),
    "Clip": (_clip, (-3.4028235e38, 3.4028235e38)),
}
"""By name: the function, and its parameters where the node states none."""


def activated(node: Node, x: tf.Tensor, parameters: Sequence[float]) -> tf.Tensor:
    """The activation that the node names, if any."""
    name = node.text("activation", "")
    if not name:
        return x
    if name not in _ACTIVATIONS:
        raise node.unsupported(f"its activation is {name}; have it be a node of its own: optimize at a level below")
    function, defaults = _ACTIVATIONS[name]
    return function(x, *(*parameters, *defaults[len(parameters) :])[: len(defaults)])


@ops.register("FusedGemm", domain=_MICROSOFT)
def fused_gemm(node: Node, a: tf.Tensor, b: tf.Tensor, c: tf.Tensor | None = None) -> tf.Tensor:
    """Gemm with an activation behind it."""
    product = _scaled(tf.matmul(a, b, bool(node.integer("transA", 0)), bool(node.integer("transB", 0))), node)
    if c is not None:
        beta = node.number("beta", 1.0)
        product = product + (c if beta == 1.0 else tf.cast(beta, c.dtype) * c)
    return activated(node, product, _stated(node))


@ops.register("FusedMatMul", domain=_MICROSOFT)
@ops.register("TransposeMatMul", domain=_MICROSOFT)
@ops.register("FusedMatMulActivation", domain=_MICROSOFT)
def fused_matmul(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """``alpha * A @ B``, either transposed before; ``transBatch``: its first axis is the one before the last."""
    if node.integer("transBatchA", 0):
        a = _first_before_last(node, a)
    if node.integer("transBatchB", 0):
        b = _first_before_last(node, b)
    is_vector = (a.shape.rank == 1, b.shape.rank == 1)
    product = tf.matmul(
        a[tf.newaxis] if is_vector[0] else a,
        b[:, tf.newaxis] if is_vector[1] else b,
        transpose_a=bool(node.integer("transA", 0)) and not is_vector[0],
        transpose_b=bool(node.integer("transB", 0)) and not is_vector[1],
    )
    if is_vector[1]:
        product = tf.squeeze(product, -1)
    if is_vector[0]:
        product = tf.squeeze(product, -1 if is_vector[1] else -2)
    return activated(node, _scaled(product, node), _stated(node))


@ops.register("GemmFastGelu", domain=_MICROSOFT)
def gemm_fast_gelu(node: Node, x: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """A product and FastGelu."""
    return fast_gelu(node, tf.matmul(x, weights), bias)


@ops.register("Gelu", domain=_MICROSOFT)
def gelu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """GELU by the error function."""
    return tf.nn.gelu(x)


@ops.register("FastGelu", domain=_MICROSOFT)
def fast_gelu(node: Node, x: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
    """GELU by the hyperbolic tangent, of ``x + bias``."""
    return tf.nn.gelu(x if bias is None else x + bias, approximate=True)


@ops.register("BiasGelu", domain=_MICROSOFT)
def bias_gelu(node: Node, x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """GELU of ``x + bias``."""
    return tf.nn.gelu(x + bias)


@ops.register("QuickGelu", domain=_MICROSOFT)
def quick_gelu(node: Node, x: tf.Tensor) -> tf.Tensor:
    """``x * sigmoid(alpha * x)``."""
    return x * tf.sigmoid(tf.cast(node.number("alpha", 1.702), x.dtype) * x)


@ops.register("BiasSplitGelu", domain=_MICROSOFT)
def bias_split_gelu(node: Node, x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """The left half of ``x + bias`` times the GELU of the right half."""
    left, right = tf.split(x + bias, 2, axis=-1)
    return left * tf.nn.gelu(right)


@ops.register("BiasAdd", domain=_MICROSOFT)
def bias_add(node: Node, x: tf.Tensor, bias: tf.Tensor, skip: tf.Tensor) -> tf.Tensor:
    """``x + bias + skip``."""
    return x + bias + skip


@ops.register("BiasSoftmax", domain=_MICROSOFT)
def bias_softmax(node: Node, x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Softmax of ``x + bias`` over the axes from ``axis`` on; bias lacks axes in the middle, or in front."""
    rank = x.shape.rank
    if rank is None or bias.shape.rank is None:
        raise node.unsupported("the rank of an input is unknown; state it, unknown axes and all")
    axis = node.integer("axis", 1) % rank
    if bias.shape.rank != rank and node.integer("is_inner_broadcast"):
        raise node.unsupported("its bias lacks axes in the middle; give it the rank of its input, with axes of 1")
    total = x + bias
    if axis == rank - 1:
        return tf.nn.softmax(total)
    flat = tf.reshape(total, tf.concat([tf.shape(total)[:axis], [-1]], 0))
    return tf.ensure_shape(tf.reshape(tf.nn.softmax(flat), tf.shape(total)), x.shape)


@ops.register("BiasDropout", domain=_MICROSOFT)
def bias_dropout(
    node: Node,
    x: tf.Tensor,
    bias: tf.Tensor,
    residual: tf.Tensor | None = None,
    ratio: tf.Tensor | None = None,
    training: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """``x + bias + residual``: nothing is dropped when a model serves."""
    if training is not None and node.static_integers(training) != [0]:
        raise node.unsupported("it may be training; export the model for inference")
    total = x + bias
    mask = tf.ones_like(total, tf.bool) if node.wants(1) else None
    return total if residual is None else total + residual, mask


def _stated(node: Node) -> list[float]:
    """The activation's parameters, as products state them: one attribute each."""
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    return [node.number(name) for name in names if node.has(name)]


def _scaled(product: tf.Tensor, node: Node) -> tf.Tensor:
    alpha = node.number("alpha", 1.0)
    return product if alpha == 1.0 else tf.cast(alpha, product.dtype) * product


def _first_before_last(node: Node, x: tf.Tensor) -> tf.Tensor:
    rank = x.shape.rank
    if rank is None or rank < 2:
        raise node.unsupported("a batch of unknown rank is transposed; state the rank of its inputs")
    return tf.transpose(x, [*range(1, rank - 1), 0, rank - 1])
