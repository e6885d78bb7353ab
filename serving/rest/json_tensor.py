"""JSON values into tensors: the shape from the first elements, the rest must follow it, each value checked."""

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import Code, StatusError
from runtimes.tensor import MAX_RANK, NUMPY_TYPES, DataType, Tensor
from serving.rest.json_values import Json, find_base64, to_bytes, type_name
from serving.rest.json_writer import quote_value

__all__ = ["Values", "decode_base64", "dtype_name", "fill", "flush", "to_tensor"]

_INTEGERS: dict[int, tuple[int, int]] = {
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.INT16: (-(2**31), 2**31 - 1),  # no narrower: the rest is cut off
    DataType.INT8: (-(2**31), 2**31 - 1),
    DataType.UINT8: (-(2**31), 2**31 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.UINT64: (0, 2**64 - 1),
}
_FLOATS = (DataType.FLOAT, DataType.DOUBLE)
_BASE64 = re.compile(rb"([A-Za-z0-9+/ \t-\r]*)([=. \t-\r]*)")
_BLANK = re.compile(rb"[ \t-\r]+")
_NAMES = {int(code): code.name.lower() for code in DataType if code is not DataType.INVALID}


class Values(NamedTuple):
    """The values of one JSON value.

    Attributes:
        shape: lengths of the lists, outermost first.
        flat: the values in C order, of Python's type for the tensor's.
    """

    shape: tuple[int, ...]
    flat: list[Any]


def dtype_name(dtype: int) -> str:
    """TensorFlow's name of an element type in messages."""
    return _NAMES.get(dtype, "INVALID" if dtype == DataType.INVALID else f"unknown dtype enum ({dtype})")


def decode_base64(text: str) -> bytes:
    """Decodes as Abseil does: standard alphabet, blanks ignored, padding complete or absent.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    match = _BASE64.fullmatch(to_bytes(text))
    if match is not None:
        digits = _BLANK.sub(b"", match.group(1))
        wanted = -len(digits) % 4
        if wanted != 3 and len(_BLANK.sub(b"", match.group(2))) in (0, wanted):
            return binascii.a2b_base64(digits + b"=" * wanted)
    raise StatusError(Code.INVALID_ARGUMENT, "Unable to base64 decode")


def fill(value: Json, dtype: int) -> Values:
    """Reads a value, a list, or lists of lists to any depth.

    Raises:
        StatusError: INVALID_ARGUMENT: not rectangular, or a value of another type; UNIMPLEMENTED: a type JSON lacks.
    """
    shape = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    rank = len(shape)
    flat: list[Any] = []
    levels: list[Iterator[Json]] = [iter((value,))]
    while levels:
        level = len(levels) - 1
        for item in levels[-1]:
            if not isinstance(item, list):
                if level != rank:
                    raise _refused(
                        f"JSON Value: {quote_value(item)} found at incorrect level: {level + 1} in the JSON DOM. "
                        f"Expected at level: {rank}"
                    )
                flat.append(_convert(item, dtype))
                continue
            if level >= rank:
                raise _refused(f"Encountered list at unexpected level: {level} expected < {rank}")
            if len(item) != shape[level]:
                raise _refused(
                    f"Encountered list at unexpected size: {len(item)} at level: {level} expected size: {shape[level]}"
                )
            levels.append(iter(item))
            break
        else:
            levels.pop()
    return Values(tuple(shape), flat)


def to_tensor(shape: Sequence[int], flat: Sequence[Any], dtype: int) -> Tensor:
    """A tensor of values that `fill` returned.

    Raises:
        StatusError: INVALID_ARGUMENT: more dimensions than an array has.
    """
    if len(shape) > MAX_RANK:
        raise _refused(f"Tensors of more than {MAX_RANK} dimensions are not supported, got {len(shape)}")
    wanted = NUMPY_TYPES.get(dtype, np.dtype(np.uint8))  # of another type there are no values
    if dtype in _FLOATS:
        array: NDArray[Any] = flush(np.array(flat, np.float64), wanted)
    elif dtype in _INTEGERS:
        array = np.array(flat, np.uint64 if dtype == DataType.UINT64 else np.int64).astype(wanted)
    else:
        array = np.array(flat, wanted)
    return Tensor(dtype, array.reshape(tuple(shape)))


def flush(array: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    """Float64 in a float type: too large becomes infinite, below the normal range zero."""
    with np.errstate(over="ignore", under="ignore"):
        array = array.astype(wanted)
    array[np.abs(array) < np.finfo(wanted).tiny] *= 0
    return array


def _refused(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _convert(value: Json, dtype: int) -> Any:
    """One value as Python's type for the tensor's."""
    kind = type(value)
    if dtype in _FLOATS:
        if kind is float or kind is int:
            return value
    elif dtype in _INTEGERS:
        least, most = _INTEGERS[dtype]
        if kind is int and least <= value <= most:
            return value
    elif dtype == DataType.STRING:
        if kind is str:
            return to_bytes(value)
        if isinstance(value, dict):
            text = find_base64(value)
            if text is None:
                raise _refused(f"JSON Value: {quote_value(value)} not formatted correctly for base64 data")
            return decode_base64(text)
    elif dtype == DataType.BOOL:
        if kind is bool:
            return value
    elif not isinstance(value, dict):
        message = f"Conversion of JSON Value: {quote_value(value)} to type: {dtype_name(dtype)}"
        raise StatusError(Code.UNIMPLEMENTED, message)
    raise _refused(
        f"JSON Value: {quote_value(value)} Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}"
    )
