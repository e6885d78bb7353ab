"""Tensors into JSON: the replies of Predict."""

from base64 import b64encode
from collections.abc import Mapping
from math import prod
from typing import Any

from numpy.typing import NDArray

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving.rest.json_decimals import decimals
from serving.rest.json_tensor import dtype_name
from serving.rest.json_values import to_bytes, to_text
from serving.rest.json_writer import quote_string

__all__ = ["write_columns", "write_rows"]

_DECIMALS = frozenset((DataType.FLOAT, DataType.DOUBLE))
_INTEGERS = frozenset(
    (
        DataType.INT32,
        DataType.INT16,
        DataType.INT8,
        DataType.UINT8,
        DataType.INT64,
        DataType.UINT32,
        DataType.UINT64,
    )
)
_BYTES_SUFFIX = "_bytes"
_INDENTS = tuple("    " * depth for depth in range(40))


def write_rows(tensors: Mapping[str, Tensor]) -> bytes:
    """``{"predictions": [...]}``, one element a row.

    Raises:
        StatusError: INVALID_ARGUMENT: a scalar, numbers of rows that differ, or a type that JSON lacks.
    """
    size: int | None = None
    for name, tensor in tensors.items():
        if not tensor.array.ndim:
            raise _refused(f"Tensor name: {name} has no shape information ")
        rows = tensor.array.shape[0]
        if size is not None and rows != size:
            raise _refused(f"Tensor name: {name} has inconsistent batch size: {rows} expecting: {size}")
        size = rows
    if not size:
        return b'{\n    "predictions": []\n}'
    if len(tensors) == 1:
        items = [_join_rows(name, tensor, 2) for name, tensor in tensors.items()]
        return to_bytes(f'{{\n    "predictions": [{items[0]}\n    ]\n}}')
    keys = [f"\n            {quote_string(name)}: " for name in tensors]
    columns = [_rows(name, tensor, 3) for name, tensor in tensors.items()]
    objects = (f"\n        {{{','.join(map(str.__add__, keys, row))}\n        }}" for row in zip(*columns, strict=True))
    return to_bytes(f'{{\n    "predictions": [{",".join(objects)}\n    ]\n}}')


def write_columns(tensors: Mapping[str, Tensor]) -> bytes:
    """``{"outputs": ...}``: the value of the one output, or an object with those of all.

    Raises:
        StatusError: INVALID_ARGUMENT: a type that JSON lacks.
    """
    if len(tensors) == 1:
        texts = [_column(name, tensor, 1) for name, tensor in tensors.items()]
        return to_bytes(f'{{\n    "outputs": {texts[0]}\n}}')
    texts = [f"\n        {quote_string(name)}: {_column(name, tensor, 2)}" for name, tensor in tensors.items()]
    return to_bytes(f'{{\n    "outputs": {{{",".join(texts)}\n    }}\n}}')


def _refused(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _texts(name: str, dtype: int, array: NDArray[Any], level: int) -> list[str]:
    """The text of each value, in C order; ``level`` is the number of brackets around one."""
    if dtype in _DECIMALS:
        return decimals(array)
    if dtype in _INTEGERS:
        return list(map(str, array.ravel().tolist()))
    if dtype == DataType.BOOL:
        return ["true" if value else "false" for value in array.ravel().tolist()]
    if dtype == DataType.STRING:
        values = array.ravel().tolist()
        if not name.endswith(_BYTES_SUFFIX):
            return [quote_string(to_text(value)) for value in values]
        inner, outer = _INDENTS[level + 1], _INDENTS[level]
        return [f'{{\n{inner}"b64": "{b64encode(value).decode()}"\n{outer}}}' for value in values]
    if not array.size:
        return []
    raise _refused(f"Failed to write JSON value for tensor type: {dtype_name(dtype)}")


def _rows(name: str, tensor: Tensor, level: int) -> list[str]:
    """The text of each row, arrays in one line."""
    array = tensor.array
    shape = array.shape
    texts = _texts(name, tensor.dtype, array, level + len(shape) - 1)
    for axis in range(len(shape) - 1, 0, -1):
        width = shape[axis]
        if width:
            texts = [f"[{', '.join(texts[at : at + width])}]" for at in range(0, len(texts), width)]
        else:
            texts = ["[]"] * prod(shape[:axis])
    return texts


def _join_rows(name: str, tensor: Tensor, level: int) -> str:
    """All rows, quick for the usual shapes."""
    if tensor.array.ndim == 2 and tensor.array.shape[1] == 1:
        return f"[{'], ['.join(_texts(name, tensor.dtype, tensor.array, level + 1))}]"
    return ", ".join(_rows(name, tensor, level))


def _column(name: str, tensor: Tensor, level: int) -> str:
    """The value of an output, one value a line."""
    shape = tensor.array.shape
    texts = _texts(name, tensor.dtype, tensor.array, level + len(shape))
    for axis in range(len(shape) - 1, -1, -1):
        width = shape[axis]
        inner, outer = _INDENTS[level + axis + 1], _INDENTS[level + axis]
        if width:
            separator = f",\n{inner}"
            texts = [
                f"[\n{inner}{separator.join(texts[at : at + width])}\n{outer}]" for at in range(0, len(texts), width)
            ]
        else:
            texts = ["[]"] * prod(shape[:axis])
    return texts[0]
