"""Puts the body of each of the model's own functions where it is called."""

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from pipeline.onnx_to_tf.passes.base import GraphPass

__all__ = ["InlineFunctions"]


class InlineFunctions(GraphPass):
    """onnx_ir's pass. Afterwards the model has no function."""

    def change(self, model: ir.Model) -> bool:
        """See the class."""
        return bool(InlinePass()(model).modified)
