"""TensorFlow SavedModels on TensorFlow's C API: answers 0.4 s after the process starts, without TensorFlow's Python."""

import ctypes
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from contract.errors import RuntimeRefusedError, SpecError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes.quantization import Quantization
from runtimes.session import Session, check_inputs, named_axes, one_line
from runtimes.tensorflow_c_api import INVALID_ARGUMENT, OK, Library, Output, load_library
from runtimes.tensorflow_c_tensors import DTYPES, from_tensor, to_tensor
from runtimes.tensorflow_protos import import_proto

__all__ = ["SavedModel", "TensorflowSession", "load", "signatures"]

_RUNTIME = "tensorflow_c"

_TAG = b"serve"
"""Tag of the graph that is meant for serving (tensorflow/cc/saved_model/tag_constants.h)."""

_NOT_CALLABLE = ("__saved_model_init_op", "__saved_model_train_op")
"""Entries of the signature map that name an operation (tensorflow/python/saved_model/constants.py)."""


class SavedModel:
    """A loaded SavedModel, from which each of its signatures can be run.

    Threads may run sessions of it at the same time; they may not close meanwhile. Memory that is not given back by
    `close` goes with the object.

    Attributes:
        path: the folder.
        signature_defs: name and ``SignatureDef`` of all entries of the file's signature map.
    """

    def __init__(self, path: Path) -> None:
        """Loads the graph and its variables.

        Raises:
            UsageError: the path is no SavedModel.
            RuntimeAbsentError: tensorflow is not installed here.
            RuntimeRefusedError: TensorFlow does not load it: it is damaged, or has operations that are not known.
        """
        _definition_file(path)
        self.path = path
        self._library = load_library()
        self._graph, self._session, serialized = _load_session(self._library, path)
        self._close = weakref.finalize(self, _delete, self._library, self._graph, self._session)
        meta_graph = import_proto("tensorflow.core.protobuf.meta_graph_pb2").MetaGraphDef.FromString(serialized)
        self.signature_defs: Mapping[str, Any] = _copied(meta_graph.signature_def)

    @property
    def signatures(self) -> dict[str, str]:
        """Name and method name of each signature that can be run."""
        return _method_names(self.signature_defs)

    def session(self, signature: str) -> "TensorflowSession":
        """One signature of the model, ready to run.

        Raises:
            SpecError: the model does not have it.
            RuntimeRefusedError: a tensor of it is sparse, or of a type that numpy does not have.
        """
        if signature not in self.signatures:
            known = ", ".join(self.signatures) or "none at all"
            raise SpecError(f"{self.path}: there is no signature {signature!r}, only {known}")
        return TensorflowSession(self, signature)

    def close(self) -> None:
        """Gives the model's memory back; its sessions cannot run any more."""
        self._close()

    def locate(self, tensors: list[Any]) -> "ctypes.Array[Output]":
        """Where the graph has the tensors of a signature.

        Args:
            tensors: ``TensorInfo`` each, whose name is ``operation:index``.

        Raises:
            RuntimeRefusedError: the graph does not have one.
        """
        outputs = (Output * len(tensors))()
        for place, info in zip(outputs, tensors, strict=True):
            operation, _, index = info.name.partition(":")
            place.operation = self._library.quick.TF_GraphOperationByName(self._graph, operation.encode())
            place.index = int(index or 0)
            if not place.operation:
                raise RuntimeRefusedError(f"{self.path}: the signature names {info.name}, which the graph has not")
        return outputs

    def call(
        self, feeds: "ctypes.Array[Output]", arrays: list[NDArray[Any]], fetches: "ctypes.Array[Output]"
    ) -> list[NDArray[Any]]:
        """Runs the graph once.

        Args:
            feeds: what to feed.
            arrays: the values, of the dtypes of ``feeds``.
            fetches: what to compute.

        Raises:
            SpecError: TensorFlow calls a value invalid.
            RuntimeRefusedError: TensorFlow fails otherwise.
            ValueError: the model is closed.
        """
        if not self._close.alive:
            raise ValueError(f"{self.path}: the SavedModel is closed")
        library = self._library
        given, got = (ctypes.c_void_p * len(feeds))(), (ctypes.c_void_p * len(fetches))()
        try:
            for index, array in enumerate(arrays):
                given[index] = to_tensor(library, array)
            with library.status() as status:
                library.waiting.TF_SessionRun(
                    *(self._session, None),
                    *(feeds, given, len(feeds)),
                    *(fetches, got, len(fetches)),
                    *(None, 0, None, status),
                )
                code = library.quick.TF_GetCode(status)
                if code != OK:
                    error = SpecError if code == INVALID_ARGUMENT else RuntimeRefusedError
                    raise error(f"{self.path}: {library.message(status)}")
            return [from_tensor(library, tensor) for tensor in got if tensor]
        finally:
            for tensor in (*given, *got):
                if tensor:
                    library.quick.TF_DeleteTensor(tensor)


class TensorflowSession(Session):
    """One signature of a `SavedModel`; threads may call `run` at the same time.

    Attributes:
        model: the SavedModel, which all its sessions share.
    """

    def __init__(self, model: SavedModel, signature: str) -> None:
        """Describes a signature: see `SavedModel.session`."""
        self.runtime = _RUNTIME
        self.quantization: Mapping[str, Quantization] = {}
        self.model = model
        self._where = f"{model.path}, signature {signature}"
        definition = model.signature_defs[signature]
        # A protobuf map has no order of its own.
        inputs, outputs = sorted(definition.inputs.items()), sorted(definition.outputs.items())
        tensors = [*inputs, *outputs]
        shapes = named_axes(_shape(info) for _, info in tensors)
        specs = [
            TensorSpec(name, self._dtype(name, info), shape)
            for (name, info), shape in zip(tensors, shapes, strict=True)
        ]
        self.inputs, self.outputs = tuple(specs[: len(inputs)]), tuple(specs[len(inputs) :])
        self._feeds = model.locate([info for _, info in inputs])
        self._fetches = model.locate([info for _, info in outputs])

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the signature once: see `Session.run`."""
        arrays = check_inputs(self._where, self.inputs, inputs)
        results = self.model.call(self._feeds, arrays, self._fetches)
        return {spec.name: result for spec, result in zip(self.outputs, results, strict=True)}

    def close(self) -> None:
        """Closes the whole SavedModel."""
        self.model.close()

    def _dtype(self, name: str, info: Any) -> str:
        """Numpy's name of the element type of a tensor."""
        if info.WhichOneof("encoding") != "name":
            raise RuntimeRefusedError(f"{self._where}: {name} is not one dense tensor")
        if info.dtype not in DTYPES:
            raise RuntimeRefusedError(f"{self._where}: {name} has data type {info.dtype}, which numpy does not have")
        return DTYPES[info.dtype]


def load(path: Path, *, signature: str) -> TensorflowSession:
    """Loads a SavedModel for one of its signatures: see `SavedModel` and `SavedModel.session` for the errors."""
    model = SavedModel(path)
    try:
        return model.session(signature)
    except (SpecError, RuntimeRefusedError):
        model.close()
        raise


def signatures(model: Path | SavedModel | TensorflowSession) -> dict[str, str]:
    """Name and method name of each signature that can be run, such as ``tensorflow/serving/predict``.

    Args:
        model: a loaded one, or the folder, of which only the definition is read then.

    Raises:
        UsageError: the path is no SavedModel.
        RuntimeRefusedError: its definition is damaged, or has no graph for serving.
    """
    if isinstance(model, SavedModel):
        return model.signatures
    if isinstance(model, TensorflowSession):
        return model.model.signatures
    file = _definition_file(model)
    saved_model_pb2 = import_proto("tensorflow.core.protobuf.saved_model_pb2")
    decode_error: type[Exception] = import_proto("google.protobuf.message").DecodeError
    try:
        definition = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except decode_error as err:
        raise RuntimeRefusedError(f"{file}: damaged or not a SavedModel: {one_line(err)}") from err
    for meta_graph in definition.meta_graphs:
        if list(meta_graph.meta_info_def.tags) == [_TAG.decode()]:
            return _method_names(meta_graph.signature_def)
    raise RuntimeRefusedError(f"{file}: it has no graph with the tag {_TAG.decode()!r}")


def _definition_file(path: Path) -> Path:
    """The file in a SavedModel's folder that defines its graph; UsageError where there is none."""
    file = path / "saved_model.pb"
    if not file.is_file():
        raise UsageError(f"{path}: {'it has no saved_model.pb' if path.is_dir() else 'there is no such folder'}")
    return file


def _load_session(library: Library, path: Path) -> tuple[int, int, bytes]:
    """Loads a SavedModel: ``TF_Graph*``, ``TF_Session*`` and the serialized MetaGraphDef."""
    quick = library.quick
    config = _session_config()
    with ExitStack() as stack:
        status = stack.enter_context(library.status())
        options = quick.TF_NewSessionOptions()
        stack.callback(quick.TF_DeleteSessionOptions, options)
        quick.TF_SetConfig(options, config, len(config), status)
        meta_graph = quick.TF_NewBuffer()
        stack.callback(quick.TF_DeleteBuffer, meta_graph)
        graph = quick.TF_NewGraph()
        session = library.waiting.TF_LoadSessionFromSavedModel(
            *(options, None, str(path).encode()),
            *((ctypes.c_char_p * 1)(_TAG), 1),
            *(graph, meta_graph, status),
        )
        if quick.TF_GetCode(status) != OK:
            library.waiting.TF_DeleteGraph(graph)
            raise RuntimeRefusedError(f"{path}: TensorFlow does not load it: {library.message(status)}")
        return graph, session, ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)


def _session_config() -> bytes:
    """A serialized ConfigProto: one thread, no GPU."""
    config = import_proto("tensorflow.core.protobuf.config_pb2").ConfigProto()
    config.intra_op_parallelism_threads = 1
    # Below 0 is the caller's own thread (direct_session.cc): 27 microseconds a call of a small network instead of the
    # 87 that it takes with a pool of one thread.
    config.inter_op_parallelism_threads = -1
    config.device_count["GPU"] = 0
    serialized: bytes = config.SerializeToString()
    return serialized


def _delete(library: Library, graph: int, session: int) -> None:
    """Gives back what `_load_session` made."""
    with library.status() as status:
        library.waiting.TF_CloseSession(session, status)
        library.waiting.TF_DeleteSession(session, status)
    library.waiting.TF_DeleteGraph(graph)


def _copied(signature_defs: Mapping[str, Any]) -> dict[str, Any]:
    """The signatures alone: a part of a message keeps the whole alive, with all constants of the graph."""
    definition = import_proto("tensorflow.core.protobuf.meta_graph_pb2").SignatureDef
    return {name: definition.FromString(signature_defs[name].SerializeToString()) for name in sorted(signature_defs)}


def _method_names(signature_defs: Mapping[str, Any]) -> dict[str, str]:
    """Name and method name of each signature that can be run."""
    return {name: signature_defs[name].method_name for name in sorted(signature_defs) if name not in _NOT_CALLABLE}


def _shape(info: Any) -> list[int | str | None] | None:
    """The shape of a ``TensorInfo``: None for a dynamic axis without a name, or for an unknown rank."""
    if info.tensor_shape.unknown_rank:
        return None
    return [dim.size if dim.size >= 0 else dim.name or None for dim in info.tensor_shape.dim]
