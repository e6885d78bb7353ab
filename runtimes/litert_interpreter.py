"""ai_edge_litert: LiteRT, the TFLite interpreter as it is released today."""

from pathlib import Path

from runtimes.installed import import_runtime
from runtimes.tflite import TfliteSession, load_with

__all__ = ["load"]

_RUNTIME = "ai_edge_litert"


def load(path: Path, *, signature: str) -> TfliteSession:
    """Loads a .tflite file: see `runtimes.tflite.load_with`.

    Raises:
        RuntimeAbsentError: ai_edge_litert is not installed here.
    """
    return load_with(import_runtime(_RUNTIME, "ai_edge_litert.interpreter").Interpreter, _RUNTIME, path, signature)
