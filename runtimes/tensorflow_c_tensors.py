"""Numpy arrays to ``TF_Tensor`` and back.

A string tensor is an array of ``TF_TString``, each with bytes of its own beyond 22; numpy's side of it is an object
array of ``bytes``.
"""

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import Code, StatusError
from runtimes.tensor import MAX_RANK, NUMPY_TYPES, DataType, Tensor
from runtimes.tensorflow_c_api import DATA_DEALLOCATOR, Library, load_library

__all__ = ["from_tensor", "to_tensor"]

_STRING_BYTES = 24
"""``sizeof(TF_TString)`` (ctstring_internal.h, on 64 bits)."""

_ALIGNMENT = 64
"""EIGEN_MAX_ALIGN_BYTES with AVX-512: an unaligned string tensor ends the process."""

# ctypes.memmove gives the GIL away for each copy: whoever waits for it wakes up, and finds it taken again.
_memmove = ctypes.PyDLL(None).memmove
_memmove.restype = ctypes.c_void_p
_memmove.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

_SMALL_BYTES = 4096
"""Up to here a copy through ``bytes`` is quicker than to ask numpy for the address of an array."""

_string_memory: dict[int, ctypes.Array[ctypes.c_char]] = {}
"""Address and memory of each string tensor that TensorFlow still refers to."""


def to_tensor(library: Library, tensor: Tensor) -> int:
    """Copies a tensor into a new one of TensorFlow's.

    One copy is the least: TensorFlow wants 64-byte alignment and copies what is not, and a message's bytes are not.

    Args:
        library: the C API.
        tensor: of at most `MAX_RANK` dimensions, native byte order.

    Returns:
        ``TF_Tensor*``, to be deleted by TF_DeleteTensor.
    """
    code, array = tensor
    if code == DataType.STRING:
        return _to_string_tensor(library, array)
    quick = library.quick
    shape = array.shape
    dims = (ctypes.c_int64 * len(shape))(*shape)
    size = array.nbytes
    pointer: int = quick.TF_AllocateTensor(code, dims, len(shape), size)
    if size > _SMALL_BYTES:
        source = np.ascontiguousarray(array)
        _memmove(quick.TF_TensorData(pointer), source.ctypes.data, size)
    elif size:
        _memmove(quick.TF_TensorData(pointer), array.tobytes(), size)
    return pointer


def from_tensor(library: Library, pointer: int) -> Tensor:
    """Copies a tensor of TensorFlow's, which stays the caller's.

    Raises:
        StatusError: its type is a resource or a variant, or it has more than `MAX_RANK` dimensions.
    """
    quick = library.quick
    code = quick.TF_TensorType(pointer)
    shape = tuple(quick.TF_Dim(pointer, axis) for axis in range(quick.TF_NumDims(pointer)))
    data = quick.TF_TensorData(pointer)
    if len(shape) > MAX_RANK:
        raise StatusError(Code.UNIMPLEMENTED, f"Tensors of more than {MAX_RANK} dimensions are not supported")
    if code == DataType.STRING:
        return Tensor(code, _from_strings(library, data, math.prod(shape)).reshape(shape))
    dtype = NUMPY_TYPES.get(code)
    if dtype is None:
        raise StatusError(Code.UNIMPLEMENTED, f"a tensor of data type {code} cannot leave TensorFlow")
    size = math.prod(shape) * dtype.itemsize
    if 0 < size <= _SMALL_BYTES:
        return Tensor(code, np.ndarray(shape, dtype, bytearray(ctypes.string_at(data, size))))
    array = np.empty(shape, dtype)
    if size:
        _memmove(array.ctypes.data, data, size)
    return Tensor(code, array)


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
    tensor: int = quick.TF_NewTensor(DataType.STRING, dims, array.ndim, start, size, _DEALLOCATOR, None)
    return tensor


def _free_strings(start: int, size: int, _: int | None) -> None:
    """Frees the strings of a tensor and its memory; may run in a thread of TensorFlow."""
    quick = load_library().quick
    for address in range(start, start + size, _STRING_BYTES):
        quick.TF_StringDealloc(address)
    del _string_memory[start]


_DEALLOCATOR = DATA_DEALLOCATOR(_free_strings)
"""Lives as long as the module, because TensorFlow may call it at any time."""
