"""How two tensors were brought to one shape before opset 7."""

import tensorflow as tf

from pipeline.onnx_to_tf.node import Node

__all__ = ["aligned"]

_NUMPY_SINCE = 7
"""The opset in which ONNX took NumPy's rules for all of these operators."""


def aligned(node: Node, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """``b`` with the axes that NumPy's rules need: before opset 7 its first axis stood at ``axis`` of ``a``."""
    if node.version >= _NUMPY_SINCE or not node.has("axis") or not node.integer("broadcast", 0):
        return b
    axis = node.integer("axis") % max(a.shape.rank, 1)
    behind = a.shape.rank - axis - b.shape.rank
    return tf.reshape(b, tf.concat([tf.shape(b), [1] * behind], 0)) if behind else b
