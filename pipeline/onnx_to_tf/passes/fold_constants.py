"""Computes what does not depend on the model's inputs."""

import onnx_ir as ir
from onnxscript.optimizer import fold_constants_ir

from pipeline.onnx_to_tf.passes.base import GraphPass

__all__ = ["FoldConstants"]

_LARGEST_INPUT = 1 << 26
"""Elements: weights that an exporter transposes or casts are folded up to this size."""

_LARGEST_OUTPUT = 1 << 26

_LEFT = {"DequantizeLinear", "QuantizeLinear", "Expand", "Tile", "ConstantOfShape", "OneHot", "EyeLike", "Range"}
"""What makes much of little: it is computed when the model runs, or folded by the emitter where the result is small."""

_HIDDEN = "showdown.hidden"


class FoldConstants(GraphPass):
    """onnxscript's folding, which also follows the values of shapes.

    1. A node whose inputs are initializers or constants: folded. 2. Operators that make much of little: left.
    """

    def change(self, model: ir.Model) -> bool:
        """See the class."""
        # onnxscript 0.7.2 fails on a SplitToSequence whose lengths come at run time, and asks should_fold too late:
        # it leaves what is of a domain that it does not know. test_sequences.py shows when this can go.
        for node in list(model.graph.all_nodes()):
            if node.op_type == "SplitToSequence" and node.domain in ("", "ai.onnx"):
                node.domain = _HIDDEN
        result = fold_constants_ir(
            model,
            onnx_shape_inference=False,
            input_size_limit=_LARGEST_INPUT,
            output_size_limit=_LARGEST_OUTPUT,
            should_fold=lambda node: False if node.op_type in _LEFT else None,
        )
        for node in list(model.graph.all_nodes()):
            if node.domain == _HIDDEN:
                node.domain = ""
        return bool(result.modified)
