"""TensorFlow SavedModels on TensorFlow's C API: answers 0.4 s after the process starts, without TensorFlow's Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from contract.errors import Code, RuntimeRefusedError, SpecError, StatusError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes.quantization import Quantization
from runtimes.session import Session, check_inputs, named_axes, one_line
from runtimes.tensor import NUMPY_TYPES, DataType, Tensor
from runtimes.tensorflow_c_graph import Graph
from runtimes.tensorflow_protos import import_proto

__all__ = ["SavedModel", "TensorflowSession", "load", "signatures"]

_RUNTIME = "tensorflow_c"

_TAG = "serve"
"""Tag of the graph that is meant for serving (tensorflow/cc/saved_model/tag_constants.h)."""

_WORDS = {DataType.BFLOAT16, *range(DataType.QINT8, DataType.BFLOAT16), DataType.QINT16, DataType.QUINT16}
"""Types that numpy does not have; their tensors come as the words that hold them."""

DTYPES = {int(code): dtype.name for code, dtype in NUMPY_TYPES.items() if code not in _WORDS}
"""``DataType`` and numpy's name, where numpy has the type."""

_CODES = {name: code for code, name in DTYPES.items()}

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
        try:
            self._graph = Graph(path)
        except StatusError as err:
            raise RuntimeRefusedError(f"{path}: TensorFlow does not load it: {one_line(err.message)}") from err
        meta_graph = import_proto("tensorflow.core.protobuf.meta_graph_pb2").MetaGraphDef.FromString(
            self._graph.meta_graph
        )
        self._graph.meta_graph = b""
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
        self._graph.close()

    def check(self, tensors: list[Any]) -> list[str]:
        """Names of the tensors of a signature.

        Args:
            tensors: ``TensorInfo`` each, whose name is ``operation:index``.

        Raises:
            RuntimeRefusedError: the graph does not have one.
        """
        for info in tensors:
            if not self._graph.has(info.name):
                raise RuntimeRefusedError(f"{self.path}: the signature names {info.name}, which the graph has not")
        return [info.name for info in tensors]

    def call(self, feeds: list[str], arrays: list[NDArray[Any]], fetches: list[str]) -> list[NDArray[Any]]:
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
        inputs = [Tensor(_CODES[array.dtype.name], array) for array in arrays]
        try:
            return [array for _, array in self._graph.run(feeds, inputs, fetches)]
        except StatusError as err:
            error = SpecError if err.code is Code.INVALID_ARGUMENT else RuntimeRefusedError
            raise error(f"{self.path}: {one_line(err.message)}") from err


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
        self._feeds = model.check([info for _, info in inputs])
        self._fetches = model.check([info for _, info in outputs])

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
        if list(meta_graph.meta_info_def.tags) == [_TAG]:
            return _method_names(meta_graph.signature_def)
    raise RuntimeRefusedError(f"{file}: it has no graph with the tag {_TAG!r}")


def _definition_file(path: Path) -> Path:
    """The file in a SavedModel's folder that defines its graph; UsageError where there is none."""
    file = path / "saved_model.pb"
    if not file.is_file():
        raise UsageError(f"{path}: {'it has no saved_model.pb' if path.is_dir() else 'there is no such folder'}")
    return file


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
