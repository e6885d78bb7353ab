"""Reads an ONNX model and holds what it states against what is there, before anything follows it.

Weights in external files stay there, mapped into memory when they are read: a model may be larger than the memory.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx.version import version

from contract.errors import ConversionError, FormatError
from runtimes.session import check_file, one_line

__all__ = ["deserialize", "load", "read_proto"]

_LARGEST_PROTO = (1 << 31) - 1
"""Bytes that one protobuf message can have; what is larger keeps its weights in external files."""

_GIT_LFS = b"version https://git-lfs"

_EXTERNAL_DATA = "onnx.save_model(model, path, save_as_external_data=True) writes such a model"

_FIELDS = {
    "float_data": (onnx.TensorProto.FLOAT, onnx.TensorProto.COMPLEX64),
    "double_data": (onnx.TensorProto.DOUBLE, onnx.TensorProto.COMPLEX128),
    "int64_data": (onnx.TensorProto.INT64,),
    "uint64_data": (onnx.TensorProto.UINT64, onnx.TensorProto.UINT32),
    "string_data": (onnx.TensorProto.STRING,),
}
"""Where a tensor has its elements by type, if not in ``raw_data``; ``int32_data`` for all others (onnx.proto3)."""

_COMPLEX = (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128)
_FOUR_BITS = (onnx.TensorProto.UINT4, onnx.TensorProto.INT4, onnx.TensorProto.FLOAT4E2M1)

_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)
"""What onnx_ir raises for a message that is whole, and no model."""


def load(path: Path) -> ir.Model:
    """Reads an .onnx file.

    Raises:
        UsageError: there is no such file.
        FormatError: it is damaged, no ONNX file, or its external data is missing, too short or outside its folder.
    """
    return deserialize(read_proto(path), str(path), folder=path.parent)


def read_proto(path: Path) -> onnx.ModelProto:
    """Reads an .onnx file, its external data only by name.

    Raises:
        UsageError: there is no such file.
        FormatError: it is damaged, or no ONNX file.
    """
    check_file(path)
    size = path.stat().st_size
    if not size:
        raise FormatError(f"{path}: the file is empty; export or copy it again")
    if size > _LARGEST_PROTO:
        raise FormatError(
            f"{path}: has {size:,} bytes, and a model over 2 GB keeps its weights in files beside it; {_EXTERNAL_DATA}"
        )
    content = path.read_bytes()
    if content.startswith(_GIT_LFS):
        raise FormatError(f"{path}: a pointer of Git LFS instead of the file; `git lfs pull` gets it")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except DecodeError as err:
        raise FormatError(f"{path}: damaged or not an ONNX file: {err}; export or copy it again") from err
    return model


def deserialize(model: onnx.ModelProto, where: str, *, folder: Path | None = None) -> ir.Model:
    """The model as onnx_ir has it. Its tensors are those of the message, which has to stay as it is.

    Args:
        model: the message.
        where: what it is called in an error.
        folder: where its external data lies, and may lie; None for a model that has to have none.

    Raises:
        FormatError: it contradicts itself or what lies in the folder.
        ConversionError: it takes a map.
    """
    if not model.HasField("graph") or not model.opset_import:
        lacks = "a graph" if not model.HasField("graph") else "an operator set"
        raise FormatError(f"{where}: not an ONNX model: it has not {lacks}; export or copy it again")
    for tensor in _tensors(model):
        _check_tensor(tensor, where, folder)
    try:
        read = ir.from_proto(_without_maps(model, where))
        read.graph.sort()
    except _FAILURES as err:
        cause = err.__cause__ or err  # onnx_ir chains an error for each level of nesting
        raise FormatError(f"{where}: a damaged ONNX model: {one_line(cause)}") from err
    for value in (*read.graph.inputs, *read.graph.outputs):
        _forget_negative(value)
    if folder is not None:
        ir.external_data.set_base_dir(read.graph, folder)
    return read


def _forget_negative(value: ir.Value) -> None:
    """Makes a negative size, which old exporters wrote for an unknown one, a dynamic axis; so does ONNX Runtime."""
    shape = value.shape
    if shape is not None and any(isinstance(axis, int) and axis < 0 for axis in shape):
        value.shape = ir.Shape([None if isinstance(axis, int) and axis < 0 else axis for axis in shape])


def _without_maps(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model without the types that have a map in them, which onnx_ir does not read: a ZipMap's output has one."""
    if mapped := [value.name for value in model.graph.input if _has_map(value.type)]:
        raise ConversionError(
            f"{where}: input {mapped[0]!r} is a map, which a signature cannot take; give the graph tensors"
        )
    if not any(_has_map(value.type) for value in (*model.graph.output, *model.graph.value_info)):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in (*copy.graph.output, *copy.graph.value_info):
        if _has_map(value.type):
            value.ClearField("type")
    return copy


def _has_map(kind: onnx.TypeProto) -> bool:
    while kind.HasField("sequence_type") or kind.HasField("optional_type"):
        kind = (kind.sequence_type if kind.HasField("sequence_type") else kind.optional_type).elem_type
    return bool(kind.HasField("map_type"))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model, in graphs, attributes and functions, however deep."""
    graphs = [model.graph]
    nodes: list[onnx.NodeProto] = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            graphs.extend(attribute.graphs)
            if attribute.HasField("g"):
                graphs.append(attribute.g)


def _check_tensor(tensor: onnx.TensorProto, where: str, folder: Path | None) -> None:
    """Holds the shape that a tensor states against what it has."""
    what = f"{where}: tensor {tensor.name!r}"
    if any(size < 0 for size in tensor.dims):
        raise FormatError(f"{what} has the shape {list(tensor.dims)}; export or copy the file again")
    if tensor.data_type not in onnx.TensorProto.DataType.values() or not tensor.data_type:
        raise FormatError(f"{what} has the data type {tensor.data_type}, which ONNX {version} does not know")
    elements = math.prod(tensor.dims)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(tensor, what, folder, _size_bytes(tensor.data_type, elements))
        return
    if tensor.HasField("raw_data"):
        wanted, given, unit = _size_bytes(tensor.data_type, elements), len(tensor.raw_data), "bytes"
    else:
        field = next((name for name, types in _FIELDS.items() if tensor.data_type in types), "int32_data")
        wanted, given, unit = elements, len(getattr(tensor, field)), f"elements in {field}"
        wanted *= 2 if tensor.data_type in _COMPLEX else 1
        # Two of four bits in an element, or each in one of its own.
        if tensor.data_type in _FOUR_BITS and given == (wanted + 1) // 2:
            return
    if wanted != given:
        raise FormatError(f"{what} is {list(tensor.dims)}, {wanted:,} {unit}, but has {given:,}; export it again")


def _size_bytes(data_type: int, elements: int) -> int:
    if data_type == onnx.TensorProto.STRING:
        return -1
    return math.ceil(elements * ir.DataType(data_type).itemsize)


def _check_external(tensor: onnx.TensorProto, what: str, folder: Path | None, taken: int) -> None:
    """Refuses external data that is not there, or not there alone where it may be."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise FormatError(
            f"{what} has its values in the external file {location!r}, which a model in memory has no folder for; "
            "give the path of the file, or read it by onnx.load(path)"
        )
    if not _is_inside(location, folder):
        raise FormatError(
            f"{what} has its values in {location!r}, outside the model's folder; {_EXTERNAL_DATA} beside the model"
        )
    file = folder / location
    if not file.is_file():
        raise FormatError(
            f"{what} has its values in {location}, which is missing; copy it into {folder or '.'} as well"
        )
    offset, length = entries.get("offset", "0"), entries.get("length", str(taken))
    if not (offset.isdecimal() and length.isdecimal()) or int(length) != taken:
        raise FormatError(
            f"{what} takes {taken:,} bytes, and has them at {offset!r} of length {length!r} of {location}"
        )
    size = file.stat().st_size
    if int(offset) + taken > size:
        raise FormatError(
            f"{what} has its values up to byte {int(offset) + taken:,} of {location}, which has {size:,}; copy it again"
        )


def _is_inside(location: str, folder: Path) -> bool:
    """Whether an external file lies in the folder, links included."""
    if not location or "\0" in location or "\\" in location or Path(location).is_absolute():
        return False
    if os.pardir in Path(location).parts:
        return False
    return (folder / location).resolve().is_relative_to(folder.resolve())
