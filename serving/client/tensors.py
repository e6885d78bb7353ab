"""Values as a caller gives them to arrays, and arrays to ``TensorProto`` and back."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import Code, SpecError, StatusError
from contract.tensor_spec import TensorSpec
from runtimes.tensor import NUMPY_TYPES, DataType, Tensor
from serving.tensors import from_proto, to_proto

__all__ = ["cast", "dtype_name", "from_wire", "numpy_type", "to_wire"]

_PYTHON = (list, tuple, bool, int, float, complex, str, bytes)
"""Values without an element type of their own: they take the signature's."""

_PYTHON_KINDS = {"f": "iuf", "V": "iuf", "i": "iu", "u": "iu", "b": "b", "c": "iufc"}
"""What a list may hold for each numpy kind that is wanted; V is bfloat16."""


@cache
def _bfloat16() -> np.dtype[Any]:
    """The type of ml_dtypes, or where that is not installed the words that hold the values."""
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        return np.dtype("uint16")
    return np.dtype(bfloat16)


def dtype_name(code: int) -> str:
    """Numpy's name of an element type of TensorFlow's; of a type that has no array, such as ``resource``, its own."""
    if code == DataType.BFLOAT16:
        return _bfloat16().name
    if code in NUMPY_TYPES:
        return NUMPY_TYPES[code].name
    return DataType(code).name.lower() if code in set(DataType) else f"type {code}"


def numpy_type(name: str) -> np.dtype[Any] | None:
    """The type that `dtype_name` names, None for one that has no array."""
    if name == "bfloat16":
        return _bfloat16()
    try:
        return np.dtype(name)
    except TypeError:
        return None


def cast(where: str, spec: TensorSpec, value: Any) -> NDArray[Any]:
    """Brings a value to a dtype; shapes are left to the caller.

    Args:
        where: the model and the input, for the message.
        spec: what is wanted.
        value: an array, whose dtype must cast safely, or Python lists and numbers, which take the dtype.

    Raises:
        SpecError: says what was wanted and given.
    """
    wanted = numpy_type(spec.dtype)
    if wanted is None:
        raise SpecError(f"{where}: wanted {spec}, which no array can give")
    if wanted.kind == "O":
        return _strings(where, spec, value)
    if isinstance(value, _PYTHON):
        return _from_python(where, spec, value, wanted)
    array = np.asarray(value)
    if array.dtype == wanted:
        return array
    # numpy counts a truth value as safe to every number, but it is none.
    if array.dtype.kind in "bO" or not np.can_cast(array.dtype, wanted, "safe"):
        hint = f"; .astype({spec.dtype!r}) casts it" if array.dtype.kind in "iufc" and wanted.kind in "iufcV" else ""
        raise SpecError(f"{where}: wanted {spec}, given {_given(array)}, which does not cast safely{hint}")
    return array.astype(wanted)


def _given(array: NDArray[Any]) -> str:
    return f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"


def _from_python(where: str, spec: TensorSpec, value: Any, wanted: np.dtype[Any]) -> NDArray[Any]:
    try:
        array = np.array(value)
    except ValueError as err:
        raise SpecError(f"{where}: wanted {spec}, given lists that are not of one length") from err
    if not array.size:
        return np.empty(array.shape, wanted)
    if wanted.kind in "iu":
        return _integers(where, spec, value, array, wanted)
    if array.dtype.kind == "O" and all(isinstance(item, int | float) for item in array.flat):
        array = _as_floats(where, spec, array)  # integers beyond 64 bits
    if array.dtype.kind not in _PYTHON_KINDS[wanted.kind]:
        raise SpecError(f"{where}: wanted {spec}, given {_types(value)}")
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(wanted)
    if wanted.kind in "fVc" and np.isinf(result).sum() != np.isinf(array).sum():
        raise SpecError(f"{where}: wanted {spec}, given a number outside the range of {spec.dtype}")
    return result


def _as_floats(where: str, spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    try:
        return array.astype(np.float64)
    except OverflowError as err:
        raise SpecError(f"{where}: wanted {spec}, given a number outside the range of {spec.dtype}") from err


def _integers(where: str, spec: TensorSpec, value: Any, array: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    if array.dtype.kind in "fO":
        array = np.array(value, dtype=object)  # numpy makes floats of integers on both sides of 2^63
        if not all(isinstance(item, int | np.integer) for item in array.flat):
            raise SpecError(f"{where}: wanted {spec}, given {_types(value)}")
    elif array.dtype.kind not in "iu":
        raise SpecError(f"{where}: wanted {spec}, given {_types(value)}")
    limits = np.iinfo(wanted)
    for extreme in (array.min(), array.max()):
        if not limits.min <= int(extreme) <= limits.max:
            raise SpecError(f"{where}: wanted {spec}, given {extreme}, which is outside the range of {spec.dtype}")
    return array.astype(wanted)


def _types(value: Any) -> str:
    """The Python types in nested lists, for a message."""
    names = sorted({type(item).__name__ for item in np.array(value, dtype=object).flat})
    return f"values of type {', '.join(names)}"


def _strings(where: str, spec: TensorSpec, value: Any) -> NDArray[Any]:
    """Strings as bytes in an object array; text is encoded to UTF-8."""
    array = value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    result = np.empty(array.size, object)
    try:
        result[:] = [item if isinstance(item, bytes) else item.encode() for item in array.ravel().tolist()]
    except UnicodeEncodeError as err:
        raise SpecError(f"{where}: wanted {spec}, given text that UTF-8 cannot encode: {err.reason}") from err
    except AttributeError as err:
        given = f"{array.dtype.name} of" if isinstance(value, np.ndarray) else "values of type"
        others = sorted({type(item).__name__ for item in array.ravel().tolist()} - {"bytes", "str"})
        ragged = " (lists that are not of one length)" if "list" in others else ""
        raise SpecError(f"{where}: wanted {spec} of bytes or str, given {given} {', '.join(others)}{ragged}") from err
    return result.reshape(array.shape)


def to_wire(array: NDArray[Any], code: int, proto: Any) -> None:
    """Writes an array into a ``TensorProto``: as ``tensor_content``, strings as ``string_val``."""
    to_proto(Tensor(code, array), proto, as_content=code != DataType.STRING)


def from_wire(name: str, proto: Any) -> NDArray[Any]:
    """The array in a ``TensorProto``, from ``tensor_content`` or the typed field; it belongs to the caller.

    Raises:
        StatusError: UNIMPLEMENTED for a type that has no array, INTERNAL for a message that is no tensor.
    """
    code = proto.dtype
    if code not in NUMPY_TYPES:
        raise StatusError(Code.UNIMPLEMENTED, f"output {name}: no array holds a tensor of type {dtype_name(code)}")
    tensor = None if proto.tensor_shape.unknown_rank else from_proto(proto)
    if tensor is None:
        shape = [dim.size for dim in proto.tensor_shape.dim]
        raise StatusError(Code.INTERNAL, f"output {name}: what the server sent is no {dtype_name(code)}{shape}")
    array = tensor.array if tensor.array.flags.writeable else tensor.array.copy()
    return array.view(_bfloat16()) if code == DataType.BFLOAT16 else array
