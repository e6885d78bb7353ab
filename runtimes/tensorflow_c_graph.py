"""A loaded graph of a SavedModel on TensorFlow's C API: feed tensors by name, fetch tensors by name."""

import ctypes
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import NamedTuple

from contract.errors import Code, StatusError
from runtimes.tensor import Tensor
from runtimes.tensorflow_c_api import OK, Buffer, Library, Output, load_library
from runtimes.tensorflow_c_tensors import from_tensor, to_tensor
from runtimes.tensorflow_protos import import_proto

__all__ = ["Graph"]

_SERVE = ("serve",)
"""Tag of the graph that is meant for serving (tensorflow/cc/saved_model/tag_constants.h)."""


class Graph:
    """A graph with its variables, initialized: resources, tables and assets are in place.

    Threads may run it at the same time; they may not close it meanwhile. Memory that is not given back by `close` goes
    with the object.

    Attributes:
        path: the SavedModel's folder.
        meta_graph: the serialized ``MetaGraphDef``, constants of the graph included; let go of it after reading.
    """

    def __init__(self, path: Path, *, tags: Sequence[str] = _SERVE, config: bytes | None = None) -> None:
        """Loads the graph that has exactly these tags.

        Args:
            path: the SavedModel's folder.
            tags: of the graph.
            config: a serialized ``ConfigProto``; None for one thread and no GPU.

        Raises:
            RuntimeAbsentError: tensorflow is not installed here.
            StatusError: TensorFlow's own code and message.
        """
        self.path = path
        self._library = load_library()
        self._graph, self._session, self.meta_graph = _load(
            self._library, path, tags, _quiet_config() if config is None else config
        )
        self._close = weakref.finalize(self, _delete, self._library, self._graph, self._session)
        self._places: dict[str, Output] = {}
        self._ends: dict[tuple[str, ...], _Ends] = {}

    def close(self) -> None:
        """Gives the memory back; the graph cannot be run any more. Closing twice is harmless."""
        self._close()

    def run(
        self,
        feeds: Sequence[str],
        inputs: Sequence[Tensor],
        fetches: Sequence[str],
        timeout: float | None = None,
        *,
        is_inline: bool = True,
        keeps_gil: bool = False,
    ) -> list[Tensor]:
        """Runs the graph once.

        Args:
            feeds: names of the tensors to feed, such as ``x:0``.
            inputs: their values.
            fetches: names of the tensors to compute.
            timeout: seconds after which TensorFlow cancels the run; only where it is not inline.
            is_inline: run in the caller's thread: 60 microseconds less, one operation after the other, no timeout.
            keeps_gil: no other Python thread runs meanwhile; where many do, to fetch the GIL again may take longer than
                the run. Not for strings, which TensorFlow frees through Python.

        Raises:
            StatusError: TensorFlow's own code and message.
            ValueError: the graph is closed.
        """
        if not self._close.alive:
            raise ValueError(f"{self.path}: the SavedModel is closed")
        library = self._library
        quick = library.quick
        fed, fetched = self._find(feeds), self._find(fetches)
        given, got = fed.pointers(), fetched.pointers()
        status = quick.TF_NewStatus()
        try:
            for index, tensor in enumerate(inputs):
                given[index] = to_tensor(library, tensor)
            (quick if keeps_gil else library.waiting).TF_SessionRun(
                self._session,
                _inline_options() if is_inline else _timeout_options(timeout),
                fed.outputs,
                given,
                fed.number,
                fetched.outputs,
                got,
                fetched.number,
                None,
                0,
                None,
                status,
            )
            if quick.TF_GetCode(status) != OK:
                raise _error(library, status)
            return [from_tensor(library, pointer) for pointer in got if pointer]
        finally:
            for pointer in (*given, *got):
                if pointer:
                    quick.TF_DeleteTensor(pointer)
            quick.TF_DeleteStatus(status)

    def has(self, name: str) -> bool:
        """Whether the graph has the operation of a tensor's name."""
        return bool(self._library.quick.TF_GraphOperationByName(self._graph, name.partition(":")[0].encode()))

    def _find(self, names: Sequence[str]) -> "_Ends":
        """Where the graph has the tensors."""
        key = tuple(names)
        found = self._ends.get(key)
        if found is None:
            outputs = (Output * len(key))(*map(self._output, key))
            found = self._ends[key] = _Ends(outputs, len(key), ctypes.c_void_p * len(key))
        return found

    def _output(self, name: str) -> Output:
        """Where the graph has a tensor."""
        if name not in self._places:
            operation, _, index = name.partition(":")
            pointer = self._library.quick.TF_GraphOperationByName(self._graph, operation.encode())
            if not pointer:
                raise StatusError(
                    Code.INVALID_ARGUMENT,
                    f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph",
                )
            self._places[name] = Output(pointer, int(index or 0))
        return self._places[name]


class _Ends(NamedTuple):
    """Tensors that are fed or fetched, as TF_SessionRun takes them: where, how many, and the array for their values."""

    outputs: "ctypes.Array[Output]"
    number: int
    pointers: type["ctypes.Array[ctypes.c_void_p]"]


def _load(library: Library, path: Path, tags: Sequence[str], config: bytes) -> tuple[int, int, bytes]:
    """Loads a SavedModel: ``TF_Graph*``, ``TF_Session*`` and the serialized MetaGraphDef."""
    quick = library.quick
    with ExitStack() as stack:
        status = stack.enter_context(library.status())
        options = quick.TF_NewSessionOptions()
        stack.callback(quick.TF_DeleteSessionOptions, options)
        quick.TF_SetConfig(options, config, len(config), status)
        if quick.TF_GetCode(status) != OK:
            raise _error(library, status)
        meta_graph = quick.TF_NewBuffer()
        stack.callback(quick.TF_DeleteBuffer, meta_graph)
        graph = quick.TF_NewGraph()
        session = library.waiting.TF_LoadSessionFromSavedModel(
            *(options, None, str(path).encode()),
            *((ctypes.c_char_p * len(tags))(*(tag.encode() for tag in tags)), len(tags)),
            *(graph, meta_graph, status),
        )
        if quick.TF_GetCode(status) != OK:
            library.waiting.TF_DeleteGraph(graph)
            raise _error(library, status)
        return graph, session, ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)


def _delete(library: Library, graph: int, session: int) -> None:
    """Gives back what `_load` made."""
    with library.status() as status:
        library.waiting.TF_CloseSession(session, status)
        library.waiting.TF_DeleteSession(session, status)
    library.waiting.TF_DeleteGraph(graph)


def _error(library: Library, status: int) -> StatusError:
    """What a ``TF_Status*`` says; a message may hold bytes of the input, which need not be UTF-8."""
    message: bytes = library.quick.TF_Message(status)
    return StatusError(Code(library.quick.TF_GetCode(status)), message.decode(errors="surrogateescape"))


def _quiet_config() -> bytes:
    """A serialized ConfigProto: one thread, no GPU."""
    config = import_proto("tensorflow.core.protobuf.config_pb2").ConfigProto()
    config.intra_op_parallelism_threads = 1
    config.inter_op_parallelism_threads = 1
    config.device_count["GPU"] = 0
    serialized: bytes = config.SerializeToString()
    return serialized


def _buffer(data: bytes) -> Buffer:
    """A ``TF_Buffer`` over bytes; they live as long as it."""
    buffer = Buffer(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), None)
    buffer.bytes = data
    return buffer


def _run_options(**values: int) -> "ctypes._Pointer[Buffer]":
    """A serialized ``RunOptions``."""
    options = import_proto("tensorflow.core.protobuf.config_pb2").RunOptions(**values)
    return ctypes.pointer(_buffer(options.SerializeToString()))


@cache
def _inline_options() -> "ctypes._Pointer[Buffer]":
    """Run in the caller's own thread (direct_session.cc)."""
    return _run_options(inter_op_thread_pool=-1)


def _timeout_options(timeout: float | None) -> "ctypes._Pointer[Buffer] | None":
    """Cancel the run after so many seconds."""
    if timeout is None:
        return None
    return _run_options(timeout_in_ms=min(max(1, int(timeout * 1000)), 2**31))
