"""A .tflite file on the `Interpreter` API, which tflite_runtime and ai_edge_litert share; one thread."""

import ctypes
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import RuntimeRefusedError, SpecError
from contract.tensor_spec import TensorSpec
from runtimes.quantization import Quantization
from runtimes.session import Session, check_file, check_inputs, named_axes, one_line
from runtimes.tflite_file import check_tflite

__all__ = ["TfliteSession", "load_with", "signature_names_with"]


class TfliteSession(Session):
    """One signature of a .tflite file, or the whole file by its tensors' names. One thread at a time."""

    def __init__(self, runtime: str, runner: Any, where: str) -> None:
        """Describes a loaded file.

        Args:
            runtime: name of the runtime.
            runner: the interpreter's ``SignatureRunner``, or `_TensorRunner` for a file without signatures.
            where: the file, for messages.

        Raises:
            RuntimeRefusedError: a tensor at the border has more than one scale.
        """
        self.runtime = runtime
        self._runner = runner
        self._where = where
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        details = [*inputs.items(), *outputs.items()]
        shapes = named_axes(detail["shape_signature"].tolist() for _, detail in details)
        specs = [TensorSpec(name, _dtype(detail), shape) for (name, detail), shape in zip(details, shapes, strict=True)]
        self.inputs, self.outputs = tuple(specs[: len(inputs)]), tuple(specs[len(inputs) :])
        self.quantization: Mapping[str, Quantization] = _quantization(details, where)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the signature once: see `Session.run`."""
        if self._runner is None:
            raise ValueError(f"{self._where}: the session is closed")
        arrays = check_inputs(self._where, self.inputs, inputs)
        try:
            results = self._runner(**{spec.name: array for spec, array in zip(self.inputs, arrays, strict=True)})
        except (RuntimeError, ValueError) as err:
            raise _refused(self.runtime, self._where, err) from err
        return {spec.name: np.asarray(results[spec.name]) for spec in self.outputs}

    def close(self) -> None:
        """Drops the interpreter, and gives its memory back to the system."""
        self._runner = None
        # glibc keeps what was freed for this process: of 100 MB of weights two thirds, until it is told to let go.
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)


class _TensorRunner:
    """Does by tensor names what a ``SignatureRunner`` does by a signature's names."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter

    def get_input_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_input_details()}

    def get_output_details(self) -> dict[str, Any]:
        return {detail["name"]: detail for detail in self._interpreter.get_output_details()}

    def __call__(self, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        indices = {name: detail["index"] for name, detail in self.get_input_details().items()}
        for name, value in inputs.items():
            self._interpreter.resize_tensor_input(indices[name], value.shape)
        self._interpreter.allocate_tensors()
        for name, value in inputs.items():
            self._interpreter.set_tensor(indices[name], value)
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(detail["index"]) for name, detail in self.get_output_details().items()
        }


def load_with(interpreter_class: Callable[..., Any], runtime: str, path: Path, signature: str) -> TfliteSession:
    """Loads a .tflite file and prepares its operators, so that a refusal shows here.

    Args:
        interpreter_class: the runtime's ``Interpreter``.
        runtime: its name.
        path: the file.
        signature: without meaning for a file that has no signatures.

    Raises:
        UsageError: there is no such file.
        SpecError: the file has signatures, but not this one.
        RuntimeRefusedError: the runtime does not take the file, or the file is damaged.
    """
    interpreter = _open(interpreter_class, runtime, path)
    signatures = interpreter.get_signature_list()
    if not signatures:
        return TfliteSession(runtime, _TensorRunner(interpreter), str(path))
    if signature not in signatures:
        raise SpecError(f"{path}: there is no signature {signature!r}, only {', '.join(sorted(signatures))}")
    return TfliteSession(runtime, interpreter.get_signature_runner(signature), str(path))


def signature_names_with(interpreter_class: Callable[..., Any], runtime: str, path: Path) -> list[str]:
    """Names of the signatures of a .tflite file; none for a file that has none.

    Args:
        interpreter_class: the runtime's ``Interpreter``.
        runtime: its name.
        path: the file.

    Raises:
        UsageError: there is no such file.
        RuntimeRefusedError: the runtime does not take the file, or the file is damaged.
    """
    return sorted(_open(interpreter_class, runtime, path).get_signature_list())


def _open(interpreter_class: Callable[..., Any], runtime: str, path: Path) -> Any:
    """A loaded interpreter whose operators are prepared."""
    check_file(path)
    check_tflite(path)
    try:
        interpreter = interpreter_class(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as err:
        raise _refused(runtime, str(path), err) from err
    return interpreter


def _refused(runtime: str, where: str, err: Exception) -> RuntimeRefusedError:
    """A refusal with the runtime's reason, ``'FULLY_CONNECTED' version '12'`` without its quotes."""
    reason = re.sub(r"'(\w+)'", r"\1", one_line(err))
    return RuntimeRefusedError(f"{where}: {runtime} refuses it: {reason}")


def _dtype(detail: Mapping[str, Any]) -> str:
    """Numpy's name of a tensor's element type."""
    return "object" if detail["dtype"] is np.bytes_ else np.dtype(detail["dtype"]).name


def _quantization(details: Iterable[tuple[str, Mapping[str, Any]]], where: str) -> dict[str, Quantization]:
    """Name and parameters of each tensor that is quantized."""
    found = {}
    for name, detail in details:
        scales = detail["quantization_parameters"]["scales"]
        if len(scales) > 1:
            raise RuntimeRefusedError(f"{where}: {name} has {len(scales)} scales; at the border one is wanted")
        if len(scales) == 1:
            zero_point = detail["quantization_parameters"]["zero_points"][0]
            found[name] = Quantization(float(scales[0]), int(zero_point), _dtype(detail))
    return found
