"""TensorFlow's C API, declared for ctypes, from the shared libraries of the installed wheel.

Source: tensorflow/c/c_api.h, tf_buffer.h, tf_status.h, tf_tensor.h and tf_tstring.h of TensorFlow 2.21.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runtimes.installed import absent
from runtimes.quiet import quiet_start
from runtimes.tensorflow_protos import tensorflow_folder

__all__ = ["DATA_DEALLOCATOR", "OK", "Buffer", "Library", "Output", "load_library", "release_start_pages"]

OK = 0
"""``TSL_OK`` (tsl/c/tsl_status.h)."""

_MADV_DONTNEED = 4
"""Of Linux's madvise (asm-generic/mman-common.h)."""

DATA_DEALLOCATOR = ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_void_p)
"""``void (*)(void* data, size_t len, void* arg)`` of TF_NewTensor."""


class Output(ctypes.Structure):
    """``TF_Output``: one output of an operation of a graph."""

    _fields_ = (("operation", c_void_p), ("index", c_int))


class Buffer(ctypes.Structure):
    """``TF_Buffer``: bytes, such as a serialized proto."""

    _fields_ = (("data", c_void_p), ("length", c_size_t), ("data_deallocator", c_void_p))


_SESSION_RUN = (
    None,
    (
        c_void_p,
        c_void_p,
        *(POINTER(Output), POINTER(c_void_p), c_int),
        *(POINTER(Output), POINTER(c_void_p), c_int),
        *(c_void_p, c_int, c_void_p, c_void_p),
    ),
)

_WAITING = {
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(Buffer), c_void_p),
    ),
    "TF_SessionRun": _SESSION_RUN,
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteGraph": (None, (c_void_p,)),
}
"""Result and arguments of the functions that take time."""

_QUICK = {
    "TF_Version": (c_char_p, ()),
    "TF_NewStatus": (c_void_p, ()),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_SessionRun": _SESSION_RUN,
    "TF_NewBuffer": (POINTER(Buffer), ()),
    "TF_DeleteBuffer": (None, (POINTER(Buffer),)),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_SetConfig": (None, (c_void_p, c_char_p, c_size_t, c_void_p)),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_NewGraph": (c_void_p, ()),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_NewTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_void_p, c_size_t, DATA_DEALLOCATOR, c_void_p)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_TensorType": (c_int, (c_void_p,)),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_StringInit": (None, (c_void_p,)),
    "TF_StringCopy": (None, (c_void_p, c_char_p, c_size_t)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
    "TF_StringDealloc": (None, (c_void_p,)),
}
"""Result and arguments of the functions that do not, or need not: some graphs run in microseconds."""


@dataclass(frozen=True, slots=True)
class Library:
    """The loaded library, twice.

    Attributes:
        waiting: lets go of the GIL around a call: the functions of `_WAITING`.
        quick: keeps the GIL, because to give it up and to fetch it again costs more than the call: those of `_QUICK`.
    """

    waiting: ctypes.CDLL
    quick: ctypes.PyDLL

    @contextmanager
    def status(self) -> Iterator[int]:
        """A new ``TF_Status*``, deleted in the end."""
        status = self.quick.TF_NewStatus()
        try:
            yield status
        finally:
            self.quick.TF_DeleteStatus(status)

    def message(self, status: int) -> str:
        """The message of a status in one line."""
        return " ".join(self.quick.TF_Message(status).decode(errors="replace").split())


@cache
def load_library() -> Library:
    """Loads the shared libraries, once a process.

    Raises:
        RuntimeAbsentError: the package or its libraries are not there.
    """
    folder = tensorflow_folder()
    pattern = "lib{}.2.dylib" if sys.platform == "darwin" else "lib{}.so.2"
    path = str(folder / pattern.format("tensorflow_cc"))
    try:
        with quiet_start():
            # The second library resolves the symbols of the first one globally.
            ctypes.CDLL(str(folder / pattern.format("tensorflow_framework")), mode=ctypes.RTLD_GLOBAL)
            library = Library(ctypes.CDLL(path), ctypes.PyDLL(path))
    except OSError as err:
        raise absent("tensorflow_c", str(err)) from err
    for handle, functions in ((library.waiting, _WAITING), (library.quick, _QUICK)):
        for name, (result, arguments) in functions.items():
            function = getattr(handle, name)
            function.restype, function.argtypes = result, arguments
    return library


def release_start_pages() -> None:
    """Gives back the pages of code that only the start needs: of 490 MB of a server 210 MB; on Linux, else nothing.

    The libraries register all operations and kernels when they load. Pages of a read-only mapping of a file are read
    again from it, or from the system's cache of it, when they are needed.
    """
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (c_void_p, c_size_t, c_int)
    for line in maps.read_text().splitlines():
        addresses, permissions, *_, path = line.split(maxsplit=5)
        if permissions == "r-xp" and Path(path).name.startswith("libtensorflow_"):
            start, end = (int(address, 16) for address in addresses.split("-"))
            madvise(start, end - start, _MADV_DONTNEED)
