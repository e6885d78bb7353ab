"""Forgets what the file says of the shapes between its inputs and its outputs."""

import onnx_ir as ir

from pipeline.onnx_to_tf.passes.base import GraphPass

__all__ = ["ForgetShapes"]


class ForgetShapes(GraphPass):
    """Removes type and shape of every value that a node gives, except of the model's outputs.

    Exporters write shapes that were true of their example alone, such as a batch of 1; shape inference would keep them.
    1. A value inside: forgotten. 2. An input of a graph in an attribute, such as a Loop's body: only its rank is kept.
    3. An output of the model, an input, an initializer: kept.
    """

    def change(self, model: ir.Model) -> bool:
        """See the class."""
        kept = set(model.graph.outputs)
        values = [v for node in model.graph.all_nodes() for v in node.outputs if v not in kept and v.shape is not None]
        for value in values:
            value.shape = None
        inner = [(v, v.shape) for graph in model.graph.subgraphs() for v in graph.inputs if v.shape is not None]
        for value, shape in inner:
            value.shape = ir.Shape([None] * shape.rank())
        return bool(values or inner)
