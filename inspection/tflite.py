"""What a .tflite file holds.

Source of the positions: tensorflow/compiler/mlir/lite/schema/schema.fbs, the order of the fields.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import NamedTuple, TypeVar

from inspection.damage import DamagedError
from inspection.flatbuffer import FlatBuffer, Table
from inspection.tensors import Border, Shape
from inspection.tflite_names import BUILTIN_OPERATORS

__all__ = [
    "IDENTIFIER",
    "OperatorWeights",
    "QuantizedTensor",
    "Tflite",
    "TfliteBorder",
    "TfliteOperator",
    "read_tflite",
]

T = TypeVar("T")

IDENTIFIER = b"TFL3"
"""Stands at byte 4."""

_DTYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64"),
    *("complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4"),
    *("float8_e4m3fn", "float8_e5m2"),
)
"""``TensorType`` by number, under the names of numpy and ml_dtypes."""

_CUSTOM = BUILTIN_OPERATORS.index("CUSTOM")
_FLEX = "Flex"
"""What the converter puts before the name of a TensorFlow operator that the Flex delegate runs."""


@dataclass(frozen=True, slots=True)
class TfliteBorder(Border):
    """An input or output of a signature, or of the first subgraph in a file that has no signatures.

    Attributes:
        signature: its key, or None.
        scale: real units per step, or None where the tensor is not quantized.
        zero_point: the integer that stands for 0.0, or None.
    """

    signature: str | None
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True, slots=True)
class TfliteOperator:
    """How often an operator stands in the subgraphs.

    Attributes:
        operator: its name; of a custom operator, the name that it has in the file.
        version: what a runtime has to know of it.
        kind: ``builtin``, ``custom``, or ``flex`` for one of TensorFlow's own.
        count: in all subgraphs.
        weight_bytes: of the constants that it reads.
    """

    operator: str
    version: int
    kind: str
    count: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class OperatorWeights:
    """The constants that one operator reads.

    Attributes:
        subgraph: its position in the file.
        operator: its name.
        output: name of its first output.
        size_bytes: of the constants; one that several operators read counts for each of them.
    """

    subgraph: int
    operator: str
    output: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """A tensor whose integers stand for real numbers.

    Attributes:
        subgraph: its position in the file.
        name: the tensor's name.
        dtype: numpy's name of the integer type.
        shape: ``?`` for a dynamic axis.
        granularity: ``per tensor`` or ``per channel``.
        axis: the axis of the channels, or None.
        channels: how many scales there are.
        scale: the scale, of the first channel if there are more.
        zero_point: the zero point, likewise.
    """

    subgraph: int
    name: str
    dtype: str
    shape: Shape
    granularity: str
    axis: int | None
    channels: int
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Tflite:
    """What a .tflite file holds.

    Attributes:
        schema_version: 3 in all files of today.
        description: what the writer says of itself.
        subgraphs: the graph, and those that its control flow calls.
        tensors: in all subgraphs.
        weight_bytes: of all buffers; one that several tensors share counts once.
        metadata: names of the metadata entries.
        inputs_and_outputs: inputs and outputs, signature by signature.
        operators: the most frequent first; one operator in two versions stands twice.
        weights_by_operator: the largest first.
        quantized_tensors: in the order of the file.
    """

    schema_version: int
    description: str
    subgraphs: int
    tensors: int
    weight_bytes: int
    metadata: tuple[str, ...]
    inputs_and_outputs: tuple[TfliteBorder, ...]
    operators: tuple[TfliteOperator, ...]
    weights_by_operator: tuple[OperatorWeights, ...]
    quantized_tensors: tuple[QuantizedTensor, ...]


class _Code(NamedTuple):
    """An operator and its version."""

    operator: str
    version: int
    kind: str


class _Tensor(NamedTuple):
    """A tensor of a subgraph; ``scales`` counts them, ``scale`` and ``zero_point`` are the first."""

    name: str
    dtype: str
    shape: Shape
    buffer: int
    scales: int
    scale: float
    zero_point: int
    axis: int


class _Subgraph(NamedTuple):
    """A subgraph; operators are code, inputs and outputs each."""

    tensors: list[_Tensor]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[tuple[_Code, tuple[int, ...], tuple[int, ...]]]


def read_tflite(content: bytes | mmap) -> Tflite:
    """Reads all but the weights.

    Raises:
        DamagedError: it is not a whole TFLite file.
    """
    if content[4:8] != IDENTIFIER:
        raise DamagedError(f"its identifier is {content[4:8]!r}, not {IDENTIFIER!r}")
    buffer = FlatBuffer(content)
    model = buffer.root("model")
    codes = [_code(table) for table in model.tables(1, "operator code")]
    sizes = [_buffer_bytes(table, buffer.size) for table in model.tables(4, "buffer")]
    subgraphs = [_subgraph(table, codes) for table in model.tables(2, "subgraph")]
    if not subgraphs:
        raise DamagedError("it has no subgraph")
    counts, bytes_by_code, weights = Counter[_Code](), Counter[_Code](), []
    for number, subgraph in enumerate(subgraphs):
        for code, inputs, outputs in subgraph.operators:
            taken = sum(_at(sizes, tensor.buffer, "buffer") for tensor in _chosen(subgraph.tensors, inputs))
            counts[code] += 1
            bytes_by_code[code] += taken
            if taken:
                output = next(_chosen(subgraph.tensors, outputs), None)
                weights.append(OperatorWeights(number, code.operator, output.name if output else "", taken))
    metadata = list(model.tables(6, "metadata"))
    in_metadata = sum(_at(sizes, entry.integer(1, "<I"), "buffer") for entry in metadata)
    return Tflite(
        schema_version=model.integer(0, "<I"),
        description=model.text(3),
        subgraphs=len(subgraphs),
        tensors=sum(len(subgraph.tensors) for subgraph in subgraphs),
        weight_bytes=max(sum(sizes) - in_metadata, 0),
        metadata=tuple(entry.text(0) for entry in metadata),
        inputs_and_outputs=tuple(_borders(model, subgraphs)),
        operators=tuple(
            TfliteOperator(*code, count, bytes_by_code[code])
            for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ),
        weights_by_operator=tuple(sorted(weights, key=lambda weight: -weight.size_bytes)),
        quantized_tensors=tuple(
            _quantized(number, tensor)
            for number, subgraph in enumerate(subgraphs)
            for tensor in subgraph.tensors
            if tensor.scales
        ),
    )


def _code(table: Table) -> _Code:
    # Codes over 127 stand in a later field, and 127 in the first, for programs that do not know it.
    number = max(table.integer(0, "<b"), table.integer(3, "<i"))
    name, version = table.text(1), table.integer(2, "<i", default=1)
    if number == _CUSTOM:
        return _Code(name, version, "flex" if name.startswith(_FLEX) else "custom")
    is_known = 0 <= number < len(BUILTIN_OPERATORS)
    return _Code(BUILTIN_OPERATORS[number] if is_known else f"operator {number}", version, "builtin")


def _buffer_bytes(table: Table, file_bytes: int) -> int:
    """The bytes of a buffer, in the FlatBuffer or, in files over 2 GB, behind it."""
    offset, size = table.integer(1, "<Q"), table.integer(2, "<Q")
    # schema.fbs: the offset is relative to the beginning of the file, and only valid if it is over 1.
    if offset > 1:
        if offset + size > file_bytes:
            raise DamagedError("it ends before its buffer")
        return size
    return table.vector(0, 1, "buffer").count


def _subgraph(table: Table, codes: Sequence[_Code]) -> _Subgraph:
    return _Subgraph(
        tensors=[_tensor(tensor) for tensor in table.tables(0, "tensor")],
        inputs=table.integers(1, "<i", "input"),
        outputs=table.integers(2, "<i", "output"),
        operators=[
            (
                _at(codes, operator.integer(0, "<I"), "operator code"),
                operator.integers(1, "<i", "operator"),
                operator.integers(2, "<i", "operator"),
            )
            for operator in table.tables(3, "operator")
        ],
    )


def _tensor(table: Table) -> _Tensor:
    # The signature of the shape has -1 for a dynamic axis, where the shape itself has 1.
    shape = table.integers(7, "<i", "shape") or table.integers(0, "<i", "shape")
    number = table.integer(1, "<b")
    dtype = _DTYPES[number] if 0 <= number < len(_DTYPES) else f"type {number}"
    quantization = table.table(4, "quantization")
    scales = quantization.floats(2, "scale") if quantization else ()
    zero_points = quantization.integers(3, "<q", "zero point") if quantization else ()
    return _Tensor(
        name=table.text(3),
        dtype=dtype,
        shape=tuple(axis if axis >= 0 else "?" for axis in shape),
        buffer=table.integer(2, "<I"),
        scales=len(scales),
        scale=next(iter(scales), 0.0),
        zero_point=next(iter(zero_points), 0),
        axis=quantization.integer(6, "<i") if quantization else 0,
    )


def _quantized(subgraph: int, tensor: _Tensor) -> QuantizedTensor:
    is_per_channel = tensor.scales > 1
    return QuantizedTensor(
        subgraph=subgraph,
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        granularity="per channel" if is_per_channel else "per tensor",
        axis=tensor.axis if is_per_channel else None,
        channels=tensor.scales,
        scale=tensor.scale,
        zero_point=tensor.zero_point,
    )


def _borders(model: Table, subgraphs: Sequence[_Subgraph]) -> Iterator[TfliteBorder]:
    has_signatures = False
    for signature in model.tables(7, "signature"):
        has_signatures = True
        tensors = _at(subgraphs, signature.integer(4, "<I"), "subgraph").tensors
        for position, direction in enumerate(("input", "output")):
            for entry in signature.tables(position, "signature"):
                tensor = _at(tensors, entry.integer(1, "<I"), "tensor")
                yield _border(signature.text(2), direction, entry.text(0), tensor)
    if not has_signatures:
        main = subgraphs[0]
        for direction, indices in (("input", main.inputs), ("output", main.outputs)):
            for tensor in _chosen(main.tensors, indices):
                yield _border(None, direction, tensor.name, tensor)


def _border(signature: str | None, direction: str, name: str, tensor: _Tensor) -> TfliteBorder:
    scale, zero_point = (tensor.scale, tensor.zero_point) if tensor.scales else (None, None)
    return TfliteBorder(direction, name, tensor.dtype, tensor.shape, signature, scale, zero_point)


def _chosen(tensors: Sequence[_Tensor], indices: Sequence[int]) -> Iterator[_Tensor]:
    """The tensors of an operator; -1 stands for an optional one that is not there."""
    return (_at(tensors, index, "tensor") for index in indices if index != -1)


def _at(items: Sequence[T], index: int, what: str) -> T:
    if not 0 <= index < len(items):
        raise DamagedError(f"it refers to {what} {index:,} of {len(items):,}")
    return items[index]
