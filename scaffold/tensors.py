"""The tensors of a file as the lines of Python that declare them in a spec."""

import json
from collections.abc import Iterable

from contract.errors import UsageError
from inspection.tensors import Border

__all__ = ["tensor_lines"]

_ROOM = 120 - len("    outputs=(,),")
"""Characters that fit on the line of an only tensor."""

_NAMES = {"string": "object"}
"""Element types that numpy calls otherwise."""


def tensor_lines(borders: Iterable[Border], direction: str) -> str:
    """The tuple of all inputs or outputs, as it stands in the call of ``ModelSpec``.

    Raises:
        UsageError: one has no shape, which a spec has to have.
    """
    lines = [_line(border) for border in borders if border.direction == direction]
    if len(lines) == 1 and len(lines[0]) <= _ROOM:
        return f"({lines[0]},)"
    return "".join(["(\n", *(f"        {line},\n" for line in lines), "    )"])


def _line(border: Border) -> str:
    if border.shape is None:
        raise UsageError(f"{border.direction} {border.name} has no shape in the file; export it with one")
    axes = [axis if axis != "?" else f"axis{position}" for position, axis in enumerate(border.shape)]
    shape = ", ".join(str(axis) if isinstance(axis, int) else json.dumps(axis) for axis in axes)
    comma = "," if len(axes) == 1 else ""
    dtype = _NAMES.get(border.dtype, border.dtype)
    return f"TensorSpec({json.dumps(border.name)}, {json.dumps(dtype)}, ({shape}{comma}))"
