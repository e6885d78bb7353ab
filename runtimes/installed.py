"""Which package a runtime comes in, whether it is installed, and how to get it."""

import importlib
import importlib.metadata
from types import ModuleType
from typing import NamedTuple

from contract.errors import RuntimeAbsentError, UsageError

__all__ = ["DISTRIBUTIONS", "Distribution", "absent", "import_runtime", "version"]


class Distribution(NamedTuple):
    """A package on an index.

    Attributes:
        name: as pip knows it.
        remedy: what to do where it is not installed.
    """

    name: str
    remedy: str


DISTRIBUTIONS = {
    "onnxruntime": Distribution("onnxruntime", "`make setup` installs it"),
    "tensorflow_c": Distribution(
        "tensorflow", "`make setup` installs it, with the shared libraries that are used here"
    ),
    "tflite_runtime": Distribution(
        "tflite-runtime",
        "`make setup` installs it on Linux; there is none for macOS, where ai_edge_litert does the same",
    ),
    "ai_edge_litert": Distribution("ai-edge-litert", "`make setup` installs it"),
    "torch": Distribution("torch", "`make setup` installs it"),
    "keras": Distribution("keras", "`make setup` installs it, with TensorFlow to run on"),
}


def version(runtime: str) -> str:
    """The version of a runtime that is installed here.

    Raises:
        UsageError: there is no runtime of this name.
        RuntimeAbsentError: it is not installed.
    """
    if runtime not in DISTRIBUTIONS:
        raise UsageError(f"there is no runtime {runtime!r}: choose one of {', '.join(DISTRIBUTIONS)}")
    try:
        return importlib.metadata.version(DISTRIBUTIONS[runtime].name)
    except importlib.metadata.PackageNotFoundError as err:
        raise absent(runtime, "no such package") from err


def import_runtime(runtime: str, module: str) -> ModuleType:
    """Imports a module of a runtime's own package.

    Raises:
        RuntimeAbsentError: it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as err:
        raise absent(runtime, str(err)) from err


def absent(runtime: str, reason: str) -> RuntimeAbsentError:
    """The error for a runtime that is not installed here."""
    name, remedy = DISTRIBUTIONS[runtime]
    return RuntimeAbsentError(f"{name} is not installed here ({reason}): {remedy}")
