"""ai_edge_litert: LiteRT, the TFLite interpreter as it is released today."""

from pathlib import Path

from runtimes.installed import import_runtime
from runtimes.tflite import TfliteSession, load_with, signature_names_with

__all__ = ["load", "signature_names"]

_RUNTIME = "ai_edge_litert"


def load(path: Path, *, signature: str) -> TfliteSession:
    """Loads a .tflite file: see `runtimes.tflite.load_with`.

    Raises:
        RuntimeAbsentError: ai_edge_litert is not installed here.
    """
    return load_with(import_runtime(_RUNTIME, "ai_edge_litert.interpreter").Interpreter, _RUNTIME, path, signature)


def signature_names(path: Path) -> list[str]:
    """Names of the signatures of a .tflite file: see `runtimes.tflite.signature_names_with`.

    Raises:
        RuntimeAbsentError: ai_edge_litert is not installed here.
    """
    return signature_names_with(import_runtime(_RUNTIME, "ai_edge_litert.interpreter").Interpreter, _RUNTIME, path)
