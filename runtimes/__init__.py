"""Loads a model file and runs it: the same `load` and `run` for each runtime.

A runtime's own package is imported only when it is asked for, so TensorFlow's Python for `keras` alone.
"""

import importlib
from pathlib import Path

from contract.errors import UsageError
from runtimes.installed import version
from runtimes.quantization import Quantization, dequantize, quantize, run_real
from runtimes.session import ANY_RANK, Session

__all__ = [
    "ANY_RANK",
    "RUNTIMES",
    "Quantization",
    "Session",
    "dequantize",
    "load",
    "quantize",
    "run_real",
    "version",
]

RUNTIMES = {
    "onnxruntime": "runtimes.onnx_runtime",
    "tensorflow_c": "runtimes.tensorflow_c",
    "tflite_runtime": "runtimes.tflite_runtime_interpreter",
    "ai_edge_litert": "runtimes.litert_interpreter",
    "keras": "runtimes.keras_model",
    "torch": "runtimes.torch_export",
}
"""Name of a runtime and the module that has its ``load(path, *, signature)``."""


def load(runtime: str, path: Path, *, signature: str = "serving_default") -> Session:
    """Loads a model file.

    Args:
        runtime: a name of `RUNTIMES`.
        path: an .onnx file, a SavedModel folder, a .tflite or a .keras file.
        signature: the signature to run, in a file that has signatures.

    Raises:
        UsageError: the name or the path does not exist.
        SpecError: the file has signatures, but not this one.
        RuntimeAbsentError: the runtime is not installed here.
        RuntimeRefusedError: the runtime does not take the file, or the file is damaged.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"there is no runtime {runtime!r}: choose one of {', '.join(RUNTIMES)}")
    session: Session = importlib.import_module(RUNTIMES[runtime]).load(path, signature=signature)
    return session
