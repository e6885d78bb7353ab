"""What the function that converts an operator sees of its node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import tensorflow as tf
from numpy.typing import NDArray

from contract.errors import UnsupportedOpError
from pipeline.onnx_to_tf.dtypes import tensorflow_dtype
from pipeline.onnx_to_tf.registry import short_domain

__all__ = ["Emitting", "Node", "Subgraph"]

_REQUIRED: Any = object()


class Emitting(Protocol):
    """What a node needs of the conversion that it belongs to."""

    def static(self, tensor: tf.Tensor) -> NDArray[Any] | None:
        """The value of a tensor, where it is known at conversion."""
        ...

    def run_graph(self, graph: ir.Graph, arguments: Sequence[Any]) -> list[Any]:
        """Emits a graph in TensorFlow's current graph; arguments and results in its order."""
        ...

    def unsupported(self, node: ir.Node, reason: str) -> UnsupportedOpError:
        """The error for a node that cannot be converted."""
        ...


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A graph in an attribute, such as the body of a Loop. What it takes from outside it finds by itself.

    Attributes:
        graph: the graph.
        run: emits it in TensorFlow's current graph, for these arguments; gives a list of its outputs.
    """

    graph: ir.Graph
    run: Callable[[Sequence[Any]], list[Any]]

    def __call__(self, *arguments: Any) -> list[Any]:
        """Emits the graph for these arguments, each a tensor, a sequence or an optional."""
        return self.run(arguments)


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the ONNX graph.

    Attributes:
        node: the node itself.
        version: the version of its operator: the opset in which ONNX last renewed it.
        emitting: the conversion.
    """

    node: ir.Node
    version: int
    emitting: Emitting

    @property
    def op_type(self) -> str:
        """The operator's name."""
        return self.node.op_type

    @property
    def domain(self) -> str:
        """The operator's domain, "" for ONNX's own."""
        return short_domain(self.node.domain)

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name or ""

    def has(self, attribute: str) -> bool:
        """Whether the node states the attribute."""
        return attribute in self.node.attributes

    def integer(self, attribute: str, default: int = _REQUIRED) -> int:
        """An attribute of type INT."""
        return int(self._value(attribute, default))

    def integers(self, attribute: str, default: Sequence[int] | None = _REQUIRED) -> list[int]:
        """An attribute of type INTS; a default of None comes back as an empty list."""
        return [int(value) for value in self._value(attribute, default) or ()]

    def number(self, attribute: str, default: float = _REQUIRED) -> float:
        """An attribute of type FLOAT: float32 in the file."""
        return float(self._value(attribute, default))

    def numbers(self, attribute: str, default: Sequence[float] | None = _REQUIRED) -> list[float]:
        """An attribute of type FLOATS; a default of None comes back as an empty list."""
        return [float(value) for value in self._value(attribute, default) or ()]

    def text(self, attribute: str, default: str = _REQUIRED) -> str:
        """An attribute of type STRING."""
        return str(self._value(attribute, default))

    def texts(self, attribute: str, default: Sequence[str] | None = _REQUIRED) -> list[str]:
        """An attribute of type STRINGS; a default of None comes back as an empty list."""
        return [str(value) for value in self._value(attribute, default) or ()]

    def array(self, attribute: str) -> NDArray[Any]:
        """An attribute of type TENSOR."""
        array: NDArray[Any] = self._value(attribute, _REQUIRED).numpy()
        return array

    def subgraph(self, attribute: str) -> Subgraph:
        """An attribute of type GRAPH."""
        graph = self._value(attribute, _REQUIRED)
        return Subgraph(graph, lambda arguments: self.emitting.run_graph(graph, arguments))

    def wants(self, output: int) -> bool:
        """Whether the output at this position has a name: one without need not be computed."""
        return output < len(self.node.outputs) and bool(self.node.outputs[output].name)

    def output_dtype(self, output: int = 0) -> tf.DType | None:
        """The type of an output, where the model or shape inference tells it."""
        dtype = self.node.outputs[output].dtype
        return None if dtype is None else tensorflow_dtype(dtype)

    def static(self, tensor: tf.Tensor | None) -> NDArray[Any] | None:
        """The value of an input or of what was made from inputs, where it is known at conversion, else None."""
        return None if tensor is None else self.emitting.static(tensor)

    def static_integers(self, tensor: tf.Tensor | None) -> list[int] | None:
        """As `static`, a flat list of integers."""
        value = self.static(tensor)
        return None if value is None else [int(entry) for entry in np.ravel(value)]

    def unsupported(self, reason: str) -> UnsupportedOpError:
        """An error to raise: says what this form of the operator is and, in ``reason``, which form would do."""
        return self.emitting.unsupported(self.node, reason)

    def _value(self, attribute: str, default: Any) -> Any:
        found = self.node.attributes.get(attribute)
        if found is not None:
            return found.value
        if default is _REQUIRED:
            raise self.unsupported(f"it lacks the attribute {attribute}, which is required")
        return default
