"""A user's own operators, from a Python file."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx.reference.op_run import OpRun

from contract.errors import UsageError
from pipeline.onnx_to_tf.registry import Family

__all__ = ["UserOperators", "load_operators"]

_FORM = 'it needs `ops = Family("...")` with functions registered in it: docs/converting.md'

_FAILURES = (SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError, KeyError, OSError)
"""What running somebody's file raises that is not finished."""


@dataclass(frozen=True, slots=True)
class UserOperators:
    """What a file has.

    Attributes:
        family: the operators, which win over ours.
        references: the same for onnx's reference evaluator, for what ONNX Runtime does not know; may be empty.
    """

    family: Family
    references: tuple[type[OpRun], ...] = ()


def load_operators(file: Path) -> UserOperators:
    """Runs a Python file, and takes ``ops`` and, if it is there, ``references`` out of it.

    Raises:
        UsageError: there is no such file, it fails, or it has not ``ops``.
    """
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"operators_of_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file}: not a Python file; operators are registered in one: docs/converting.md")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except _FAILURES as err:
        raise UsageError(f"{file}: {type(err).__name__}: {' '.join(str(err).split())}") from err
    family = getattr(module, "ops", None)
    if not isinstance(family, Family):
        raise UsageError(f"{file}: {_FORM}")
    return UserOperators(family, _references(module.__dict__.get("references", ()), file))


def _references(listed: object, file: Path) -> tuple[type[OpRun], ...]:
    if not isinstance(listed, Sequence) or not all(isinstance(one, type) and issubclass(one, OpRun) for one in listed):
        raise UsageError(f"{file}: `references` is a list of classes that are onnx.reference.op_run.OpRun")
    return tuple(listed)
