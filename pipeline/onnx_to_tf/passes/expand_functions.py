"""Replaces an operator that nobody converts, and that ONNX defines by others, by those."""

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
import onnx_ir as ir

from pipeline.onnx_to_tf.emitter import op_version
from pipeline.onnx_to_tf.passes.base import GraphPass
from pipeline.onnx_to_tf.registry import Registry, short_domain

__all__ = ["ExpandFunctions"]

_DOMAIN = "showdown.expanded"


class ExpandFunctions(GraphPass):
    """Makes a function of the model's own of each such node; `InlineFunctions` after it puts in the body.

    1. An operator with a body that is the same for every node. 2. One whose body depends on the node and the types of
    its inputs: those have to be known. 3. An operator that the registry serves, or that has no body: left.

    Args:
        registry: the operators that are converted as they are.
    """

    def __init__(self, registry: Registry) -> None:
        """See the class."""
        super().__init__()
        self._registry = registry

    def change(self, model: ir.Model) -> bool:
        """See the class."""
        opsets = {short_domain(domain): version for domain, version in model.opset_imports.items()}
        made = 0
        for node in list(model.graph.all_nodes()):
            domain = short_domain(node.domain)
            if node.op_identifier() in model.functions or domain not in opsets:
                continue
            body = self._body(node, domain, opsets)
            if body is None:
                continue
            body.domain, body.name = _DOMAIN, f"{node.op_type}_{made}"
            # onnx gives the body that holds in the model's opset, and states in it the opset that it was written for.
            for entry in body.opset_import:
                entry.version = opsets.get(short_domain(entry.domain), entry.version)
            _fit_outputs(body, len(node.outputs))
            function = ir.serde.deserialize_function(body)
            model.functions[function.identifier()] = function
            node.domain, node.op_type = _DOMAIN, body.name
            model.opset_imports.setdefault(_DOMAIN, 1)
            made += 1
        return bool(made)

    def _body(self, node: ir.Node, domain: str, opsets: Mapping[str, int]) -> onnx.FunctionProto | None:
        opset = opsets[domain]
        if not onnx.defs.has(node.op_type, domain):
            return None
        served = self._registry.versions(domain, node.op_type)
        version = op_version(domain, node.op_type, opset, served)
        if version in served:
            return None
        # onnx's stubs state neither of the functions of a schema.
        schema: Any = onnx.defs.get_schema(node.op_type, max_inclusive_version=opset, domain=domain)
        _state_defaults(node, schema)
        body = onnx.FunctionProto()
        if (found := _newest(schema.function_opset_versions, opset)) is not None:
            body.ParseFromString(schema.get_function_with_opset_version(found))
            return body
        found = _newest(schema.context_dependent_function_opset_versions, opset)
        if found is not None and _are_typed(node):
            stated, types = ir.to_proto(node).SerializeToString(), [_type(value) for value in node.inputs]
            body.ParseFromString(schema.get_context_dependent_function_with_opset_version(found, stated, types))
            return body
        return None


def _newest(versions: Iterable[int], opset: int) -> int | None:
    return max((version for version in versions if version <= opset), default=None)


def _fit_outputs(body: onnx.FunctionProto, count: int) -> None:
    """Brings the outputs of a body to those of its node.

    A body leaves out what its node does not want, and names it among its outputs all the same.
    """
    del body.output[count:]
    made = {name for node in body.node for name in node.output} | set(body.input)
    body.node.extend(
        onnx.helper.make_node("Constant", [], [name], value_float=0.0) for name in body.output if name not in made
    )


def _are_typed(node: ir.Node) -> bool:
    return all(value is None or value.type is not None for value in node.inputs)


def _type(value: ir.Value | None) -> bytes:
    proto = onnx.TypeProto()
    if value is not None and value.type is not None:
        proto = ir.serde.serialize_type(value.type)
        if value.shape is not None:
            ir.serde.serialize_shape_into(proto, value.shape)
    content: bytes = proto.SerializeToString()
    return content


def _state_defaults(node: ir.Node, schema: onnx.defs.OpSchema) -> None:
    """A body refers to attributes of its node, also to those that the node leaves to their default."""
    for name, attribute in schema.attributes.items():
        if name not in node.attributes and attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)
