"""Finds type and shape of every value."""

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from pipeline.onnx_to_tf.passes.base import GraphPass

__all__ = ["InferShapes"]


class InferShapes(GraphPass):
    """ONNX's own inference, with what it can tell of the values of shapes.

    It is not strict: a node that it does not know, or that contradicts it, leaves what follows unknown, and no more.
    """

    def change(self, model: ir.Model) -> bool:
        """See the class."""
        return bool(ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model).modified)
