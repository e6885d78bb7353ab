"""What an .onnx file holds.

Source of the field numbers: onnx/onnx.proto3 of ONNX 1.18.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contract.errors import FormatError
from inspection.damage import DamagedError
from inspection.tensors import Border, Shape, Weight, by_size, element_count, size_bytes
from inspection.wire import Content, Message

__all__ = ["ExternalFile", "Initializer", "Onnx", "OperatorCount", "is_onnx", "read_onnx"]

_DTYPES = (
    *("undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16"),
    *("float64", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz"),
    *("float8_e5m2", "float8_e5m2fnuz", "uint4", "int4", "float4_e2m1fn"),
)
"""``TensorProto.DataType`` by number, under the names of numpy and ml_dtypes."""

_DEFAULT_DOMAIN = "ai.onnx"
"""What the empty domain stands for."""

_EXTERNAL = 1
"""``TensorProto.DataLocation.EXTERNAL``"""

_NUMBER = re.compile(r"[0-9]{1,19}")

_IR_VERSION, _GRAPH = 1, 7
_TYPE_KINDS = {4: "sequence", 5: "map", 7: "opaque", 8: "sparse tensor", 9: "optional"}


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """How often an operator stands in the graph, in the graphs within its nodes, and in the functions."""

    domain: str
    operator: str
    count: int


@dataclass(frozen=True, slots=True)
class Initializer(Weight):
    """A constant of the graph; ``stored_in`` is the name of the external file that has its values, or None."""

    stored_in: str | None


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A file beside the model that has values of its initializers.

    Attributes:
        file: its path relative to the model's folder, which it never leaves.
        size_bytes: its size, or None where it is missing.
        initializers: how many initializers it has.
        state: ``whole``, ``missing``, or ``too short``.
    """

    file: str
    size_bytes: int | None
    initializers: int
    state: str


@dataclass(frozen=True, slots=True)
class Onnx:
    """What an .onnx file holds.

    Attributes:
        ir_version: of the format itself.
        producer: name and version of what wrote it.
        graph: the graph's name.
        opsets: version of each operator set by domain.
        metadata: the model's own properties.
        nodes: in the graph, in the graphs within its nodes, and in the functions.
        functions: operators that the file itself defines.
        parameters: elements of all initializers.
        weight_bytes: what the initializers take, external files included.
        inputs_and_outputs: inputs that no initializer has a value for, then the outputs.
        operators: the most frequent first.
        initializers: the largest first.
        external_files: in the order of their first use.
    """

    ir_version: int
    producer: str
    graph: str
    opsets: dict[str, int]
    metadata: dict[str, str]
    nodes: int
    functions: int
    parameters: int
    weight_bytes: int
    inputs_and_outputs: tuple[Border, ...]
    operators: tuple[OperatorCount, ...]
    initializers: tuple[Initializer, ...]
    external_files: tuple[ExternalFile, ...]


def is_onnx(content: Content) -> bool:
    """Whether a file has the outer form of a model: ONNX has no magic number."""
    try:
        model = Message(content, "model")
        return _IR_VERSION in model and model.length(_GRAPH) > 0
    except DamagedError:
        return False


def read_onnx(path: Path, content: Content) -> Onnx:
    """Reads all but the weights.

    Args:
        path: the file; external data is looked for beside it, and not read.
        content: of the file.

    Raises:
        DamagedError: it is not a whole ONNX file.
        FormatError: external data lies outside the model's folder.
    """
    model = Message(content, "model")
    if _GRAPH not in model:
        raise DamagedError("it has no graph")
    walk = _Walk(path)
    graph = model.message(_GRAPH, "graph")
    walk.graph(graph)
    functions = list(model.messages(25, "function"))
    for function in functions:
        walk.nodes(function, 7)
    walk.rest()
    known = {initializer.name for initializer in walk.initializers}
    inputs = (border for border in _borders(graph, 11, "input") if border.name not in known)
    return Onnx(
        ir_version=model.integer(_IR_VERSION),
        producer=" ".join(part for part in (model.text(2), model.text(3)) if part),
        graph=graph.text(2),
        opsets={
            opset.text(1) or _DEFAULT_DOMAIN: opset.integer(2) for opset in model.messages(8, "operator set import")
        },
        metadata={entry.text(1): entry.text(2) for entry in model.messages(14, "metadata")},
        nodes=walk.operators.total(),
        functions=len(functions),
        parameters=sum(initializer.parameters for initializer in walk.initializers),
        weight_bytes=sum(initializer.size_bytes for initializer in walk.initializers),
        inputs_and_outputs=(*inputs, *_borders(graph, 12, "output")),
        operators=tuple(
            OperatorCount(domain, operator, count)
            for (domain, operator), count in sorted(walk.operators.items(), key=lambda item: (-item[1], item[0]))
        ),
        initializers=tuple(sorted(walk.initializers, key=by_size)),
        external_files=tuple(walk.external_files()),
    )


class _Walk:
    """Collects what is spread over the graphs of a file."""

    def __init__(self, path: Path) -> None:
        self.operators: Counter[tuple[str, str]] = Counter()
        self.initializers: list[Initializer] = []
        self._path = path
        self._pending: list[Message] = []
        self._ends: dict[str, list[int]] = {}

    def graph(self, graph: Message) -> None:
        """Looks at one graph; graphs within its nodes wait for `rest`."""
        for tensor in graph.messages(5, "initializer"):
            self.initializers.append(self._initializer(tensor))
        for sparse in graph.messages(15, "sparse initializer"):
            self.initializers.append(self._initializer(sparse.message(1, "values of a sparse initializer")))
        self.nodes(graph, 1)

    def nodes(self, holder: Message, number: int) -> None:
        """Looks at the nodes of a graph or function, which has them in this field."""
        for node in holder.messages(number, "node"):
            self.operators[node.text(7) or _DEFAULT_DOMAIN, node.text(4)] += 1
            for attribute in node.messages(5, "attribute"):
                self._pending.extend(attribute.messages(6, "graph"))
                self._pending.extend(attribute.messages(11, "graph"))
                for field in (5, 10):
                    for tensor in attribute.messages(field, "tensor"):
                        self._stored_in(tensor, self._external_end(tensor, 0))

    def rest(self) -> None:
        """Looks at the graphs within nodes, however deep they lie."""
        while self._pending:
            self.graph(self._pending.pop())

    def external_files(self) -> Iterator[ExternalFile]:
        """The external files, held against what lies beside the model."""
        for name, ends in self._ends.items():
            file = self._path.parent / name
            size = file.stat().st_size if file.is_file() else None
            state = "missing" if size is None else "whole" if max(ends) <= size else "too short"
            yield ExternalFile(name, size, len(ends), state)

    def _initializer(self, tensor: Message) -> Initializer:
        name = tensor.text(8)
        what = f"initializer {name!r}"
        shape = tuple(tensor.integers(1))
        dtype = _dtype(tensor.integer(2))
        elements = element_count(shape, what)
        wanted = size_bytes(dtype, elements)
        if 9 in tensor and wanted is not None and tensor.length(9) != wanted:
            raise DamagedError(f"{what} is {dtype}{list(shape)}, {wanted:,} bytes, but has {tensor.length(9):,}")
        # Strings are the one type without a size; they are stored in the file itself.
        taken = tensor.length(6) if wanted is None else wanted
        stored_in = self._stored_in(tensor, self._external_end(tensor, taken))
        return Initializer(name, dtype, shape, elements, taken, stored_in)

    @staticmethod
    def _external_end(tensor: Message, taken: int) -> int:
        """Where the values end in their external file."""
        entries = {entry.text(1): entry.text(2) for entry in tensor.messages(13, "external data")}
        offset, length = entries.get("offset", "0"), entries.get("length", str(taken))
        if not (_NUMBER.fullmatch(offset) and _NUMBER.fullmatch(length)):
            raise DamagedError(f"tensor {tensor.text(8)!r} has external data at {offset!r} of length {length!r}")
        return int(offset) + int(length)

    def _stored_in(self, tensor: Message, end: int) -> str | None:
        """The external file of a tensor, which is kept for `external_files`."""
        if tensor.integer(14) != _EXTERNAL:
            return None
        entries = {entry.text(1): entry.text(2) for entry in tensor.messages(13, "external data")}
        location = entries.get("location", "")
        folder = self._path.parent
        parts = PurePosixPath(location).parts
        is_inside = parts and not location.startswith("/") and not {"..", "\0"} & {*parts, *location}
        if not is_inside or not (folder / location).resolve().is_relative_to(folder.resolve()):
            raise FormatError(
                f"{self._path}: the external data {location!r} of {tensor.text(8)!r} lies outside the model's folder"
            )
        self._ends.setdefault(location, []).append(end)
        return location


def _borders(graph: Message, number: int, direction: str) -> Iterator[Border]:
    for value in graph.messages(number, direction):
        kind = value.message(2, "type")
        tensor = kind.message(1, "tensor type")
        if 1 in kind:
            shape = _shape(tensor.message(2, "shape")) if 2 in tensor else None
            yield Border(direction, value.text(1), _dtype(tensor.integer(1)), shape)
        else:
            names = (name for number, name in _TYPE_KINDS.items() if number in kind)
            yield Border(direction, value.text(1), next(names, "undefined"), None)


def _shape(shape: Message) -> Shape:
    return tuple(
        dimension.integer(1) if 1 in dimension else dimension.text(2) or "?"
        for dimension in shape.messages(1, "dimension")
    )


def _dtype(number: int) -> str:
    return _DTYPES[number] if 0 <= number < len(_DTYPES) else f"data type {number}"
