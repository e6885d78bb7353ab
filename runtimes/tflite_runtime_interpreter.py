"""tflite_runtime: the last release of the stand-alone TFLite interpreter, as boards have it."""

import sys
from pathlib import Path

from contract.errors import RuntimeRefusedError
from runtimes.installed import import_runtime
from runtimes.session import check_file
from runtimes.tflite import TfliteSession, load_with

__all__ = ["load"]

_RUNTIME = "tflite_runtime"


def load(path: Path, *, signature: str) -> TfliteSession:
    """Loads a .tflite file: see `runtimes.tflite.load_with`.

    Raises:
        UsageError: there is no such file.
        RuntimeAbsentError: tflite_runtime is not installed here.
        RuntimeRefusedError: also where TensorFlow's Python was imported before it in this process.
    """
    check_file(path)
    # Both packages register the same C++ types; after TensorFlow 2.21, tflite_runtime 2.14 fails in GetSignatureDefs
    # with "vector::reserve". test_tflite.py has the case that shows when this can go.
    if "tensorflow" in sys.modules:
        raise RuntimeRefusedError(f"{path}: tflite_runtime fails in a process that has TensorFlow: use one of its own")
    return load_with(import_runtime(_RUNTIME, "tflite_runtime.interpreter").Interpreter, _RUNTIME, path, signature)
