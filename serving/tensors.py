"""``TensorProto`` to `Tensor` and back.

Source: Tensor::FromProto and AsProtoField of tensorflow/core/framework/tensor.cc.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import Code, StatusError
from runtimes.tensor import MAX_RANK, NUMPY_TYPES, DataType, Tensor

__all__ = ["from_proto", "to_proto"]

_MAX_BYTES = 2**31 - 1
"""Of one tensor: what a gRPC message can carry. A few bytes of a request may ask for far more by repeating a value."""

_FIELDS = {
    DataType.FLOAT: "float_val",
    DataType.DOUBLE: "double_val",
    DataType.INT32: "int_val",
    DataType.UINT8: "int_val",
    DataType.INT16: "int_val",
    DataType.INT8: "int_val",
    DataType.UINT16: "int_val",
    DataType.QINT8: "int_val",
    DataType.QUINT8: "int_val",
    DataType.QINT16: "int_val",
    DataType.QUINT16: "int_val",
    DataType.QINT32: "int_val",
    DataType.STRING: "string_val",
    DataType.COMPLEX64: "scomplex_val",
    DataType.COMPLEX128: "dcomplex_val",
    DataType.INT64: "int64_val",
    DataType.BOOL: "bool_val",
    DataType.HALF: "half_val",
    DataType.BFLOAT16: "half_val",
    DataType.UINT32: "uint32_val",
    DataType.UINT64: "uint64_val",
}
"""The typed field of each type (tensor.proto)."""

_PACKED = {DataType.FLOAT: b"\x2a", DataType.DOUBLE: b"\x32"}
"""Tag of the packed field whose wire form is the array's own bytes."""

_MANY = 64
"""From here on a packed field is written as bytes instead of value by value."""


def from_proto(proto: Any) -> Tensor | None:
    """Reads a ``TensorProto``.

    One value in a typed field fills the whole shape, the last one repeats, what is too much is dropped.

    Returns:
        The tensor, or None where TensorFlow calls the message no tensor.

    Raises:
        StatusError: it is a resource, or has more than `MAX_RANK` dimensions.
    """
    code = proto.dtype
    if code == DataType.RESOURCE:
        raise _resource(proto)
    dtype = NUMPY_TYPES.get(code)
    if dtype is None:
        return None
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if shape and min(shape) < 0:
        return None
    if len(shape) > MAX_RANK:
        raise StatusError(
            Code.UNIMPLEMENTED, f"Tensors of more than {MAX_RANK} dimensions are not supported, got {len(shape)}"
        )
    size = math.prod(shape)
    if size * dtype.itemsize > _MAX_BYTES:
        return None
    if size and proto.tensor_content:
        array = _from_content(code, dtype, size, proto.tensor_content)
    else:
        array = _from_values(code, dtype, size, getattr(proto, _FIELDS[code]))
    if array is None:
        return None
    try:
        return Tensor(code, array.reshape(shape))
    except ValueError:  # without elements, but with dimensions whose product is beyond numpy
        return None


def to_proto(tensor: Tensor, proto: Any, *, as_content: bool = False) -> None:
    """Writes a tensor into an empty ``TensorProto``.

    Args:
        tensor: the tensor.
        proto: the message to fill.
        as_content: write ``tensor_content`` instead of the typed field.
    """
    code, array = tensor
    proto.dtype = code
    shape = proto.tensor_shape
    for size in array.shape:
        shape.dim.add().size = size
    # An empty shape is written all the same: a scalar is not a tensor without a shape.
    shape.SetInParent()
    if not array.size:
        return
    if as_content:
        proto.tensor_content = _encode_strings(array) if code == DataType.STRING else array.tobytes()
    elif code in _PACKED and array.size >= _MANY:
        data = array.tobytes()
        proto.MergeFromString(_PACKED[DataType(code)] + _varint(len(data)) + data)
    else:
        getattr(proto, _FIELDS[DataType(code)]).extend(_values(code, array))


def _from_content(code: int, dtype: np.dtype[Any], size: int, content: bytes) -> NDArray[Any] | None:
    """Values of ``tensor_content``."""
    if code == DataType.STRING:
        return _decode_strings(size, content)
    if len(content) != size * dtype.itemsize:
        return None
    return np.frombuffer(content, dtype)


def _from_values(code: int, dtype: np.dtype[Any], size: int, values: Any) -> NDArray[Any]:
    """Values of a typed field."""
    if code in (DataType.COMPLEX64, DataType.COMPLEX128):
        pairs = np.asarray(values[: len(values) // 2 * 2], np.float32 if code == DataType.COMPLEX64 else np.float64)
        given = pairs.view(dtype)
    elif code == DataType.STRING:
        given = np.empty(len(values), object)
        given[:] = values
    elif code == DataType.HALF:
        given = np.asarray(values, np.int64).astype(np.uint16).view(np.float16)
    elif dtype.itemsize < 4 and code != DataType.BOOL:
        given = np.asarray(values, np.int64).astype(dtype)  # int_val of 300 as int8 is 44
    else:
        given = np.asarray(values, dtype)
    if len(given) == size:
        return given
    if len(given) > size:
        return given[:size].copy()
    filled = np.empty(size, dtype)
    filled[: len(given)] = given
    filled[len(given) :] = given[-1] if len(given) else (b"" if code == DataType.STRING else 0)
    return filled


def _values(code: int, array: NDArray[Any]) -> Any:
    """Values for a typed field."""
    flat = array.reshape(-1)
    if code in (DataType.COMPLEX64, DataType.COMPLEX128):
        flat = np.ascontiguousarray(flat).view(np.float32 if code == DataType.COMPLEX64 else np.float64)
    elif code == DataType.HALF:
        flat = flat.view(np.uint16)
    return flat.tolist()


def _resource(proto: Any) -> StatusError:
    """TensorFlow's answer to a resource as an input."""
    handle = proto.resource_handle_val[0] if proto.resource_handle_val else None
    code, name, kind = (handle.hash_code, handle.name, handle.maybe_type_name) if handle else (0, "", "")
    return StatusError(
        Code.INVALID_ARGUMENT,
        f"Invalid resource type hash code: {code}(name: {name} type: {kind}). Perhaps a resource tensor was being "
        "provided as a feed? That is not currently allowed. Please file an issue at "
        "https://github.com/tensorflow/tensorflow/issues/new, ideally with a short code snippet that leads to this "
        "error message.",
    )


def _decode_strings(size: int, content: bytes) -> NDArray[Any] | None:
    """Strings of ``tensor_content``: all lengths as varints, then all bytes (core/lib/core/coding.cc)."""
    lengths = []
    place = 0
    for _ in range(size):
        length = shift = 0
        while True:
            if place >= len(content) or shift > 28:
                return None
            byte = content[place]
            place += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        lengths.append(length)
    if place + sum(lengths) != len(content):
        return None
    strings = np.empty(size, object)
    for index, length in enumerate(lengths):
        strings[index] = content[place : place + length]
        place += length
    return strings


def _encode_strings(array: NDArray[Any]) -> bytes:
    strings = array.reshape(-1).tolist()
    return b"".join((*(_varint(len(string)) for string in strings), *strings))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
