"""Saves a TensorFlow function as one protocol buffer, a frozen GraphDef, and loads such a file.

A frozen graph has its parameters as constants among its operations and needs no other file. The names of inputs and
outputs are those of nodes: an input is a node of type Placeholder, an output is a node that no other node reads, which
`save_frozen_graph` makes an Identity under the output's name. Tensor 0 of such a node is the tensor, as in ``x:0``.

Source: tensorflow/core/framework/graph.proto.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from contract.arrays import Array, Tensors
from contract.errors import ConversionError, FormatError, RuntimeRefusedError, SpecError
from contract.files import beside
from contract.tensor_spec import TensorSpec
from runtimes.session import check_file, check_inputs, named_axes, one_line

__all__ = ["FrozenGraph", "load_frozen_graph", "save_frozen_graph"]

v1 = tf.compat.v1

_PLACEHOLDER = "Placeholder"

_BODY = "graph"
"""What stands before the names of all other nodes, with a slash."""

_NODE_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
"""What TensorFlow takes for a node's name (IsValidOpName in tensorflow/core/framework/node_def_util.cc)."""

_MAX_PARAMETER_BYTES = 2**31 - 2**20
"""A protocol buffer has less than 2 GiB (protobuf.dev, Proto Limits); the rest is for the operations."""

_REACHES_OUT = re.compile(r"File|PyFunc|Py_?Func|Reader|Save|Restore|Checkpoint|Dump|Summary|Rpc|Print|Debug|Dataset")
"""Operators that read or write files, call Python or other machines; a graph with parameters inside needs none."""


class FrozenGraph:
    """A frozen graph that is loaded. Threads may call it at the same time.

    Attributes:
        inputs: the placeholders, in the file's order; a dynamic axis has a name of its own, such as ``axis0``.
        outputs: the nodes that no other node reads, likewise.
    """

    def __init__(self, graph_def: Any, where: str) -> None:
        """Prepares the graph.

        Args:
            graph_def: ``GraphDef``.
            where: the file, for messages.

        Raises:
            FormatError: TensorFlow does not take the graph, or it has no output.
        """
        self._where = where
        read = {name.lstrip("^").partition(":")[0] for node in graph_def.node for name in node.input}
        feeds = [node.name for node in graph_def.node if node.op == _PLACEHOLDER]
        fetches = [node.name for node in graph_def.node if node.name not in read and node.name not in feeds]
        if not fetches:
            raise FormatError(f"{where}: a frozen graph without an output")
        try:
            wrapped = v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
            given, got = (
                [wrapped.graph.get_tensor_by_name(f"{name}:0") for name in names] for names in (feeds, fetches)
            )
            self._function = wrapped.prune(given, got)
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as err:
            raise FormatError(f"{where}: TensorFlow does not take the graph: {one_line(err)}") from err
        tensors = [*given, *got]
        shapes = named_axes(None if tensor.shape.rank is None else tensor.shape.as_list() for tensor in tensors)
        specs = [
            TensorSpec(tensor.op.name, "object" if tensor.dtype == tf.string else tensor.dtype.name, shape)
            for tensor, shape in zip(tensors, shapes, strict=True)
        ]
        self.inputs, self.outputs = tuple(specs[: len(feeds)]), tuple(specs[len(feeds) :])

    def __call__(self, inputs: Tensors) -> dict[str, Array]:
        """Runs the graph once.

        Args:
            inputs: name and value of each input; strings are ``bytes`` in an array of dtype ``object``.

        Raises:
            SpecError: a name, dtype or shape does not fit, or TensorFlow calls the values invalid.
            RuntimeRefusedError: TensorFlow could not run the graph.
        """
        arrays = check_inputs(self._where, self.inputs, inputs)
        try:
            results = self._function(*map(tf.constant, arrays))
        except tf.errors.OpError as err:
            wrong_values = isinstance(err, tf.errors.InvalidArgumentError)
            raise (SpecError if wrong_values else RuntimeRefusedError)(f"{self._where}: {one_line(err)}") from err
        return {
            spec.name: np.asarray(result.numpy(), object if spec.dtype == "object" else None)
            for spec, result in zip(self.outputs, results, strict=True)
        }


def save_frozen_graph(path: Path, function: Any) -> None:
    """Writes a concrete function as one frozen GraphDef, whole or not at all.

    Args:
        path: the file, such as ``net.pb``.
        function: a ``tf.types.experimental.ConcreteFunction``. An input has the key under which the function takes it,
            in a dict or as a keyword, else the name of its ``tf.TensorSpec``. An output has its key in a dict, else it
            is ``output_0``, ``output_1``, ... in order, as in a SavedModel.

    Raises:
        SpecError: two tensors have one name, or a name is none that TensorFlow has for a node.
        ConversionError: the function needs what is no variable, such as a lookup table, or more than fits into a
            protocol buffer.
    """
    parameter_bytes = sum(variable.dtype.size * math.prod(variable.shape) for variable in function.variables)
    if parameter_bytes > _MAX_PARAMETER_BYTES:
        raise ConversionError(
            f"{path}: the parameters take {parameter_bytes:,} bytes, and a protocol buffer has less than 2 GiB; write "
            "a SavedModel"
        )
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    inputs = list(_input_names(function.structured_input_signature))
    outputs = list(_output_names(function.structured_outputs))
    if held := [tensor for tensor in frozen.inputs if tensor.dtype in (tf.resource, tf.variant)]:
        raise ConversionError(
            f"{path}: the function needs {held[0].op.name}, a table or another resource that is no variable; a frozen "
            "graph cannot hold it, a SavedModel can"
        )
    _check_names(path, inputs + outputs)
    with tf.Graph().as_default() as graph:
        placeholders = [
            v1.placeholder(tensor.dtype, tensor.shape, name) for name, tensor in zip(inputs, frozen.inputs, strict=True)
        ]
        results = tf.import_graph_def(
            frozen.graph.as_graph_def(),
            input_map={tensor.name: ours for tensor, ours in zip(frozen.inputs, placeholders, strict=True)},
            return_elements=[tensor.name for tensor in frozen.outputs],
            name=_BODY,
        )
        named = [tf.identity(result, name) for name, result in zip(outputs, results, strict=True)]
    ends = [*placeholders, *named]
    for name, tensor in zip([*inputs, *outputs], ends, strict=True):
        if tensor.op.name != name:
            raise SpecError(f"{path}: TensorFlow gives the node {name} the name {tensor.op.name}; choose another one")
    # Without the nodes that no output needs: each would be taken for an output.
    content = v1.graph_util.extract_sub_graph(graph.as_graph_def(), [tensor.op.name for tensor in ends])
    with beside(path) as temporary:
        temporary.write_bytes(content.SerializeToString(deterministic=True))


def load_frozen_graph(path: Path) -> FrozenGraph:
    """Loads a frozen GraphDef, of `save_frozen_graph` or another program.

    Raises:
        UsageError: there is no such file.
        FormatError: the file is damaged, is no GraphDef, TensorFlow does not take it, or an operator of it reaches out
            of the graph: into files, Python or other machines.
    """
    check_file(path)
    graph_def = v1.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except DecodeError as err:
        raise FormatError(f"{path}: damaged or not a frozen graph: {one_line(err)}") from err
    # The field behind all nodes: a file that is cut between two nodes can be parsed, and is another graph.
    if not graph_def.node or not graph_def.versions.producer:
        raise FormatError(f"{path}: damaged or not a frozen graph: it has {len(graph_def.node)} nodes and ends early")
    for node in _all_nodes(graph_def):
        if _REACHES_OUT.search(node.op):
            raise FormatError(
                f"{path}: its node {node.name} is a {node.op}, which reaches out of the graph; not loaded"
            )
    return FrozenGraph(graph_def, str(path))


def _all_nodes(graph_def: Any) -> Iterator[Any]:
    """The nodes of the graph and of its functions."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _input_names(structure: Any, key: str | None = None) -> Iterator[str]:
    """The names of a function's inputs, in TensorFlow's order: that of sorted keys."""
    if isinstance(structure, tf.TypeSpec):
        yield key or structure.name
    elif isinstance(structure, Mapping):
        for name in sorted(structure):
            yield from _input_names(structure[name], name)
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            yield from _input_names(item)


def _output_names(structure: Any) -> list[str]:
    """The names of a function's outputs, likewise."""
    if isinstance(structure, Mapping):
        return sorted(structure)
    return [f"output_{index}" for index, _ in enumerate(tf.nest.flatten(structure))]


def _check_names(path: Path, names: list[str]) -> None:
    for position, name in enumerate(names):
        if not name or not _NODE_NAME.fullmatch(name) or name.startswith(f"{_BODY}/"):
            raise SpecError(f"{path}: {name!r} cannot be the name of a node in TensorFlow; choose another one")
        if name in names[:position]:
            raise SpecError(f"{path}: several tensors have the name {name}; a graph needs one for each")
