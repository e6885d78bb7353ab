"""Numpy arrays to ``TF_Tensor`` and back.

A string tensor is an array of ``TF_TString``, each with bytes of its own beyond 22; numpy's side of it is an object
array of ``bytes``.
"""

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.tensorflow_c_api import DATA_DEALLOCATOR, Library, load_library

__all__ = ["DTYPES", "from_tensor", "to_tensor"]

_STRING = 7

DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    _STRING: "object",
    8: "complex64",
    9: "int64",
    10: "bool",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
"""``TF_DataType`` (tf_datatype.h, the numbers of types.proto) and numpy's name, where numpy has the type."""

_CODES = {name: code for code, name in DTYPES.items()}

_STRING_BYTES = 24
"""``sizeof(TF_TString)`` (ctstring_internal.h, on 64 bits)."""

_ALIGNMENT = 64
"""EIGEN_MAX_ALIGN_BYTES with AVX-512: an unaligned string tensor ends the process."""

_string_memory: dict[int, ctypes.Array[ctypes.c_char]] = {}
"""Address and memory of each string tensor that TensorFlow still refers to."""


def to_tensor(library: Library, array: NDArray[Any]) -> int:
    """Copies an array into a new tensor.

    Args:
        library: the C API.
        array: contiguous, of a dtype of `DTYPES`, native byte order; object arrays hold bytes.

    Returns:
        ``TF_Tensor*``, to be deleted by TF_DeleteTensor.
    """
    if array.dtype == object:
        return _to_string_tensor(library, array)
    quick = library.quick
    dims = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor: int = quick.TF_AllocateTensor(_CODES[array.dtype.name], dims, array.ndim, array.nbytes)
    if array.nbytes:
        ctypes.memmove(quick.TF_TensorData(tensor), array.__array_interface__["data"][0], array.nbytes)
    return tensor


def from_tensor(library: Library, tensor: int) -> NDArray[Any]:
    """Copies a tensor into a new array; its type is one of `DTYPES`, and it stays the caller's."""
    quick = library.quick
    code = quick.TF_TensorType(tensor)
    shape = tuple(quick.TF_Dim(tensor, axis) for axis in range(quick.TF_NumDims(tensor)))
    data = quick.TF_TensorData(tensor)
    if code == _STRING:
        return _from_strings(library, data, math.prod(shape)).reshape(shape)
    array = np.empty(shape, DTYPES[code])
    if array.nbytes:
        ctypes.memmove(array.__array_interface__["data"][0], data, array.nbytes)
    return array


def _from_strings(library: Library, data: int | None, count: int) -> NDArray[Any]:
    """Copies ``count`` strings that lie at ``data``, which may be null where there is none."""
    quick = library.quick
    start = data or 0
    strings = np.empty(count, object)
    strings[:] = [
        ctypes.string_at(quick.TF_StringGetDataPointer(address), quick.TF_StringGetSize(address))
        for address in range(start, start + count * _STRING_BYTES, _STRING_BYTES)
    ]
    return strings


def _to_string_tensor(library: Library, array: NDArray[Any]) -> int:
    """Copies an object array of bytes into a new string tensor.

    The memory is ours and not from TF_AllocateTensor, which would not free the strings: a model may keep the tensor
    beyond the call (in a variable), so they can only be freed by the deallocator that the last reference calls.
    """
    quick = library.quick
    size = array.size * _STRING_BYTES
    memory = ctypes.create_string_buffer(size + _ALIGNMENT)
    start = math.ceil(ctypes.addressof(memory) / _ALIGNMENT) * _ALIGNMENT
    for address, item in zip(range(start, start + size, _STRING_BYTES), array.flat, strict=True):
        quick.TF_StringInit(address)
        quick.TF_StringCopy(address, item, len(item))
    _string_memory[start] = memory
    dims = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor: int = quick.TF_NewTensor(_STRING, dims, array.ndim, start, size, _DEALLOCATOR, None)
    return tensor


def _free_strings(start: int, size: int, _: int | None) -> None:
    """Frees the strings of a tensor and its memory; may run in a thread of TensorFlow."""
    quick = load_library().quick
    for address in range(start, start + size, _STRING_BYTES):
        quick.TF_StringDealloc(address)
    del _string_memory[start]


_DEALLOCATOR = DATA_DEALLOCATOR(_free_strings)
"""Lives as long as the module, because TensorFlow may call it at any time."""
