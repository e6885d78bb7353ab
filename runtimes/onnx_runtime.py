"""ONNX Runtime on the CPU, one thread."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import RuntimeRefusedError, SpecError
from contract.tensor_spec import TensorSpec
from runtimes.installed import import_runtime
from runtimes.quantization import Quantization
from runtimes.session import Session, check_file, check_inputs, named_axes, one_line

__all__ = ["OnnxSession", "load"]

_RUNTIME = "onnxruntime"

_LOG_ERRORS = 3
"""``log_severity_level``: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal (onnxruntime_c_api.h, OrtLoggingLevel)."""

_SAME = ("float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")

_DTYPES = {
    "float": "float32",
    "double": "float64",
    "string": "object",
    **dict(zip(_SAME, _SAME, strict=True)),
}
"""ONNX Runtime's names of element types, as in ``tensor(float)``, and numpy's."""


class OnnxSession(Session):
    """An .onnx file. Threads may call `run` at the same time; they may not close meanwhile."""

    def __init__(self, session: Any, where: str) -> None:
        """Describes a loaded file.

        Args:
            session: ``onnxruntime.InferenceSession``.
            where: the file, for messages.

        Raises:
            RuntimeRefusedError: a tensor has a type that numpy does not have.
        """
        self.runtime = _RUNTIME
        self.quantization: Mapping[str, Quantization] = {}
        self._session = session
        self._where = where
        self._errors = _error_types()
        arguments = [*session.get_inputs(), *session.get_outputs()]
        # A scalar and a tensor of unknown rank both have the shape [] here: it is taken for a scalar.
        shapes = named_axes(argument.shape for argument in arguments)
        specs = [
            TensorSpec(argument.name, _dtype(argument, where), shape)
            for argument, shape in zip(arguments, shapes, strict=True)
        ]
        split = len(session.get_inputs())
        self.inputs, self.outputs = tuple(specs[:split]), tuple(specs[split:])

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the file once: see `Session.run`; strings are UTF-8 here."""
        if self._session is None:
            raise ValueError(f"{self._where}: the session is closed")
        arrays = check_inputs(self._where, self.inputs, inputs)
        feeds = {
            spec.name: self._decoded(spec, array) if spec.dtype == "object" else array
            for spec, array in zip(self.inputs, arrays, strict=True)
        }
        try:
            results = self._session.run(None, feeds)
        except self._errors as err:
            wrong_values = type(err).__name__ == "InvalidArgument"
            raise (SpecError if wrong_values else RuntimeRefusedError)(f"{self._where}: {one_line(err)}") from err
        return {
            spec.name: _encoded(result) if spec.dtype == "object" else np.asarray(result)
            for spec, result in zip(self.outputs, results, strict=True)
        }

    def close(self) -> None:
        """Drops the model."""
        self._session = None

    def _decoded(self, spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
        """Strings as ONNX Runtime takes them; it would write bytes as ``b'...'``."""
        try:
            return _mapped(array, bytes.decode)
        except UnicodeDecodeError as err:
            raise SpecError(f"{self._where}: input {spec.name}: ONNX strings are UTF-8, but here: {err}") from err


def load(path: Path, *, signature: str = "serving_default", is_optimized: bool = True) -> OnnxSession:
    """Loads an .onnx file.

    Args:
        path: the file; its external data lies beside it.
        signature: without meaning here, an .onnx file has one graph.
        is_optimized: whether ONNX Runtime may run another graph than the one that stands in the file.

    Raises:
        UsageError: there is no such file.
        RuntimeAbsentError: ONNX Runtime is not installed here.
        RuntimeRefusedError: ONNX Runtime does not take the file, or the file is damaged.
    """
    check_file(path)
    onnxruntime = import_runtime(_RUNTIME, "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _error_types() as err:
        # An empty file parses as a model without a graph.
        is_damaged = type(err).__name__ == "InvalidProtobuf" or path.stat().st_size == 0
        reason = "damaged or not an ONNX file" if is_damaged else f"{_RUNTIME} refuses it"
        raise RuntimeRefusedError(f"{path}: {reason}: {one_line(err)}") from err
    return OnnxSession(session, str(path))


def _error_types() -> tuple[type[Exception], ...]:
    """The exceptions of ONNX Runtime, which have no common base but Exception; RuntimeError is any other C++ one."""
    state = import_runtime(_RUNTIME, "onnxruntime.capi.onnxruntime_pybind11_state")
    kinds = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*kinds, RuntimeError)


def _dtype(argument: Any, where: str) -> str:
    """Numpy's name of the element type of a graph input or output."""
    element = argument.type.removeprefix("tensor(").removesuffix(")")
    if element not in _DTYPES:
        raise RuntimeRefusedError(f"{where}: {argument.name} is {argument.type}, which numpy does not have")
    return _DTYPES[element]


def _encoded(strings: Any) -> NDArray[Any]:
    """ONNX Runtime's strings as bytes."""
    return _mapped(np.asarray(strings, object), str.encode)


def _mapped(array: NDArray[Any], function: Callable[[Any], object]) -> NDArray[Any]:
    """An object array of the same shape with ``function`` done to each item."""
    result = np.empty(array.size, object)
    result[:] = [function(item) for item in array.flat]
    return result.reshape(array.shape)
