"""Removes what no output needs."""

import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass

from pipeline.onnx_to_tf.passes.base import GraphPass

__all__ = ["RemoveUnused"]


class RemoveUnused(GraphPass):
    """Removes identities, nodes without effect and dead initializers; afterwards every initializer has a user."""

    def change(self, model: ir.Model) -> bool:
        """See the class."""
        identities = bool(_Identities()(model).modified)
        return bool(RemoveUnusedNodesPass()(model).modified) or identities

    def ensures(self, model: ir.Model) -> None:
        """As in `GraphPass`, and no initializer is dead."""
        super().ensures(model)
        public = {*model.graph.inputs, *model.graph.outputs}
        dead = [v.name for v in model.graph.initializers.values() if not v.uses() and v not in public]
        if dead:
            raise ir.passes.PostconditionError(f"initializers without a user: {dead}")


class _Identities(IdentityEliminationPass):
    """onnx_ir 1.1 renames an output of the graph that becomes, by an identity, another output as well."""

    def _try_eliminate_identity_node(self, node: ir.Node) -> bool:
        both = (*node.inputs[:1], *node.outputs)
        if node.op_type == "Identity" and all(value is not None and value.is_graph_output() for value in both):
            return False
        return bool(super()._try_eliminate_identity_node(node))
