"""Walks an ONNX graph and emits it into TensorFlow's current graph, a node at a time."""

from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from contract.errors import ConversionError, UnsupportedOpError
from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.names import scope_name
from pipeline.onnx_to_tf.node import Node
from pipeline.onnx_to_tf.registry import Operator, Registry, short_domain
from pipeline.onnx_to_tf.variables import Variables

__all__ = ["Emitter", "op_version"]

_LARGEST_FOLDED = 1 << 16
"""Elements: a result larger than this, and than its inputs, is computed when the model runs instead of stored in it."""

_REMEDY = "register a function for it in a file of yours, and give that with --operators: docs/converting.md"

_REMEDIES = {
    "com.microsoft.nchwc": "ONNX Runtime laid the model out for one kind of processor; optimize it at the level "
    "extended, not all (SessionOptions.graph_optimization_level)",
}
"""What to do about the operators of a domain that is not converted."""

_FAILURES = (ValueError, TypeError, NotImplementedError, tf.errors.OpError, KeyError, IndexError, AttributeError)
"""What TensorFlow and numpy raise for a shape, a type or an attribute that does not fit."""


class Emitter:
    """Emits one model. One thread.

    Args:
        registry: the operators that it knows.
        opsets: version of each domain that the model imports.
        variables: where the model's weights become variables.
    """

    def __init__(self, registry: Registry, opsets: dict[str, int], variables: Variables) -> None:
        """See the class."""
        self._registry = registry
        self._opsets = {short_domain(domain): version for domain, version in opsets.items()}
        self._variables = variables
        self._scope: MutableMapping[ir.Value, Any] = {}
        # Both live as long as the graph that is being emitted: a loop's body that is emitted again, or another graph of
        # TensorFlow's at the address of one that is gone, must not find what was made before.
        self._made: MutableMapping[tuple[int, ir.Value], tf.Tensor] = {}
        self._static: MutableMapping[int, tuple[tf.Tensor, NDArray[Any]]] = {}

    def run_graph(self, graph: ir.Graph, arguments: Sequence[Any]) -> list[Any]:
        """Emits a graph: see `pipeline.onnx_to_tf.node.Emitting`."""
        outer = self._scope, self._made, self._static
        self._scope, self._made, self._static = ChainMap({}, outer[0]), ChainMap({}, outer[1]), ChainMap({}, outer[2])
        try:
            self._scope.update(zip(graph.inputs, arguments, strict=True))
            for node in graph:
                self._emit(node)
            return [self._argument(value) for value in graph.outputs]
        finally:
            self._scope, self._made, self._static = outer

    def value(self, value: ir.Value) -> Any:
        """An initializer in TensorFlow's current graph."""
        return self._make(value, None)

    def static(self, tensor: tf.Tensor) -> NDArray[Any] | None:
        """See `pipeline.onnx_to_tf.node.Emitting`."""
        if not tf.is_tensor(tensor):
            return None
        if hasattr(tensor, "numpy") and tf.executing_eagerly():
            return _array(tensor)
        if (known := self._static.get(id(tensor))) is not None:
            return known[1]
        value: NDArray[Any] | None = tf.get_static_value(tensor)
        return value

    def unsupported(self, node: ir.Node, reason: str) -> UnsupportedOpError:
        """See `pipeline.onnx_to_tf.node.Emitting`."""
        fed = ", ".join(_described(value) for value in node.inputs if value is not None) or "nothing"
        return UnsupportedOpError(f"{_where(node, self._opsets)}: {reason}; it is fed by {fed}")

    def _emit(self, node: ir.Node) -> None:
        operator, version = self._operator(node)
        seen = Node(node, version, self)
        try:
            outputs = self._folded(node, operator, seen)
            if outputs is None:
                arguments = [None if value is None else self._argument(value) for value in node.inputs]
                with tf.name_scope(scope_name(node.name or node.op_type)):
                    outputs = _listed(operator.handler(seen, *arguments))
        except _FAILURES as err:
            # ConversionError is none of these: what a handler says itself comes through.
            raise ConversionError(f"{_where(node, self._opsets)}: {_reason(err)}") from err
        for value, output in zip(node.outputs, outputs, strict=False):
            if value.name:
                self._bind(node, value, output)

    def _folded(self, node: ir.Node, operator: Operator, seen: Node) -> list[Any] | None:
        """The outputs as arrays, where all inputs are known; None where the operator has to be emitted."""
        if not operator.is_foldable or any(attribute.type in _GRAPHS for attribute in node.attributes.values()):
            return None
        known = [None if value is None else self._known(value) for value in node.inputs]
        if any(value is not None and array is None for value, array in zip(node.inputs, known, strict=True)):
            return None
        with tf.init_scope():
            outputs = _listed(operator.handler(seen, *(None if x is None else tf.constant(x) for x in known)))
        if not all(output is None or tf.is_tensor(output) for output in outputs):
            return None
        arrays = [None if output is None else _array(output) for output in outputs]
        largest = max([_LARGEST_FOLDED, *(array.size for array in known if array is not None)])
        return None if any(array is not None and array.size > largest for array in arrays) else arrays

    def _known(self, value: ir.Value) -> NDArray[Any] | None:
        """A value's array, where it is known and no variable."""
        bound = self._scope.get(value)
        if isinstance(bound, np.ndarray):
            return bound
        if bound is None and value.const_value is not None and not self._variables.holds(value):
            return self._variables.array(value)
        return None

    def _argument(self, value: ir.Value) -> Any:
        """A value for a handler: a tensor of the current graph, or what else it was bound to."""
        bound = self._scope.get(value)
        if bound is not None and not isinstance(bound, np.ndarray):
            return bound
        key = (id(tf.compat.v1.get_default_graph()), value)
        if key not in self._made:
            self._made[key] = self._make(value, bound)
        return self._made[key]

    def _make(self, value: ir.Value, bound: NDArray[Any] | None) -> tf.Tensor:
        if bound is None and value.const_value is None:
            raise ConversionError(f"value {value.name!r} is used, and nothing gives it")
        array = self._variables.array(value) if bound is None else bound
        if bound is None and self._variables.holds(value):
            tensor = self._variables.read(value)
        else:
            tensor = tf.constant(array, name=scope_name(value.name or "constant"))
        self._static[id(tensor)] = tensor, array
        return tensor

    def _bind(self, node: ir.Node, value: ir.Value, output: Any) -> None:
        if output is None:
            raise ConversionError(f"{_where(node, self._opsets)}: its output {value.name!r} was not made")
        if tf.is_tensor(output):
            _check_dtype(value, output.dtype, _where(node, self._opsets))
            _state_shape(value, output)
            known = tf.get_static_value(output) if output.dtype.is_integer and output.shape.rank in (0, 1) else None
            output = output if known is None else known
        self._scope[value] = output

    def _operator(self, node: ir.Node) -> tuple[Operator, int]:
        domain = short_domain(node.domain)
        opset = self._opsets.get(domain)
        served = self._registry.versions(domain, node.op_type)
        version = op_version(domain, node.op_type, opset, served)
        found = None if version is None else self._registry.find(domain, node.op_type, version)
        if found is not None and version is not None:
            return found, version
        if served:
            versions = ", ".join(map(str, served))
            raise self.unsupported(node, f"version {version} of it is not converted, but {versions}; {_REMEDY}")
        nearest = self._registry.nearest(node.op_type)
        remedy = _REMEDIES.get(domain, _REMEDY)
        raise self.unsupported(node, f"no function converts it{nearest and f', the nearest is {nearest}'}; {remedy}")


def op_version(domain: str, op_type: str, opset: int | None, served: Sequence[int]) -> int | None:
    """The version of an operator in an opset; where onnx does not know the operator, the newest one that is served."""
    if opset is None:
        opset = 1
    if onnx.defs.has(op_type, domain) and opset <= _newest(domain):
        try:
            return int(onnx.defs.get_schema(op_type, max_inclusive_version=opset, domain=domain).since_version)
        except onnx.defs.SchemaError:
            # Younger in ONNX than the file: ONNX Runtime had LayerNormalization, version 1, in ONNX's domain before.
            pass
    return max((version for version in served if version <= opset), default=None)


def _newest(domain: str) -> int:
    return int(onnx.defs.onnx_opset_version()) if not domain else int(onnx.defs.onnx_ml_opset_version())


_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def _array(tensor: tf.Tensor) -> NDArray[Any]:
    return np.asarray(tensor.numpy(), dtype=object if tensor.dtype == tf.string else None)


def _check_dtype(value: ir.Value, given: tf.DType, where: str) -> None:
    """Each node gives the type that ONNX says: a wrong one would be found far from where it arose, or never."""
    if value.dtype is not None and tensorflow_dtype(value.dtype) != given:
        raise ConversionError(f"{where}: its output {value.name!r} came out as {given.name}, not {value.dtype}")


def _state_shape(value: ir.Value, output: tf.Tensor) -> None:
    """Tells TensorFlow what ONNX's shape inference found and its own did not."""
    if value.shape is None or output.shape.rank == 0 or (hasattr(output, "numpy") and tf.executing_eagerly()):
        return
    shape = tf.TensorShape([axis if isinstance(axis, int) else None for axis in value.shape])
    if output.shape.is_compatible_with(shape):
        output.set_shape(shape)


def _where(node: ir.Node, opsets: dict[str, int]) -> str:
    domain = short_domain(node.domain)
    name = node.name or next((value.name for value in node.outputs if value.name), "")
    return f"{node.op_type} (domain {domain or 'ai.onnx'}, opset {opsets.get(domain)}, node {name!r})"


def _described(value: ir.Value) -> str:
    producer = value.producer()
    kind = f"{producer.op_type} " if producer is not None else ""
    dtype = "" if value.dtype is None else f" {value.dtype.name.lower()}"
    return f"{kind}{value.name!r}{dtype}{'' if value.shape is None else value.shape}"


def _reason(err: BaseException) -> str:
    """One line of what TensorFlow said."""
    message = getattr(err, "message", None) or str(err)
    text = " ".join(str(message).split())
    return text or type(err).__name__
