"""What every runtime gives back from `load`, and the checks that all of them make before a run."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from contract.errors import SpecError, UsageError
from contract.tensor_spec import Axis, TensorSpec
from runtimes.quantization import Quantization

__all__ = ["ANY_RANK", "Session", "check_file", "check_inputs", "named_axes", "one_line"]

ANY_RANK = ("...",)
"""Shape of a tensor whose file does not even state how many axes it has."""


class Session(Protocol):
    """A loaded model file, or one signature of it.

    Attributes:
        runtime: name of the runtime that runs it.
        inputs: the inputs as the file states them. A dynamic axis has the file's own name, or ``axis0``, ``axis1``, ...
            counted through the file, because a file without names does not say which axes are equal.
        outputs: the outputs, likewise.
        quantization: name and parameters of each input and output that is quantized.

    A string tensor is a numpy array of dtype ``object`` that holds ``bytes``.
    """

    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    quantization: Mapping[str, Quantization]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the model once; the results belong to the caller.

        Args:
            inputs: name and value of each input, with its dtype and shape.

        Raises:
            SpecError: a name, dtype or shape does not fit, or the runtime calls the values invalid.
            RuntimeRefusedError: the runtime could not run the model.
            ValueError: the session is closed.
        """
        ...

    def close(self) -> None:
        """Gives the model's memory back; closing twice is harmless."""
        ...

    def __enter__(self) -> Self:
        """The session itself, closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the session."""
        self.close()


def check_file(path: Path) -> None:
    """Refuses a path that is not a file.

    Raises:
        UsageError: the message has the path.
    """
    if not path.is_file():
        raise UsageError(f"{path}: {'a folder, not a model file' if path.is_dir() else 'there is no such file'}")


def check_inputs(where: str, specs: Sequence[TensorSpec], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Checks names, dtypes and shapes.

    Args:
        where: the model, for the message.
        specs: the inputs that the model wants.
        inputs: the inputs that are given.

    Returns:
        The inputs in the order of ``specs``, contiguous and in this machine's byte order.

    Raises:
        SpecError: names the tensor, and has the wanted and the given dtype and shape.
    """
    missing = [spec.name for spec in specs if spec.name not in inputs]
    if missing or len(inputs) != len(specs):
        wanted = ", ".join(spec.name for spec in specs) or "none"
        raise SpecError(f"{where}: the inputs are {wanted}; given: {', '.join(inputs) or 'none'}")
    sizes: dict[str, int] = {}
    return [_check_input(where, spec, np.asarray(inputs[spec.name]), sizes) for spec in specs]


def _check_input(where: str, spec: TensorSpec, value: NDArray[Any], sizes: dict[str, int]) -> NDArray[Any]:
    """Checks one input; ``sizes`` collects the sizes of the dynamic axes that this call has shown so far."""
    shown = _dynamic_sizes(spec.shape, value.shape, sizes)
    if value.dtype.name != spec.dtype or shown is None:
        given = f"{value.dtype.name}[{', '.join(map(str, value.shape))}]"
        known = ", ".join(f"{axis} is {size}" for axis, size in sizes.items() if axis in spec.shape)
        raise SpecError(f"{where}: input {spec.name}: wanted {spec}{f' where {known}' if known else ''}, given {given}")
    sizes.update(shown)
    if spec.dtype == "object":
        others = {type(item).__name__ for item in value.flat if not isinstance(item, bytes)}
        if others:
            raise SpecError(f"{where}: input {spec.name}: wanted strings as bytes, given {', '.join(sorted(others))}")
    return np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C")


def _dynamic_sizes(wanted: Sequence[Axis], given: Sequence[int], sizes: Mapping[str, int]) -> dict[str, int] | None:
    """The size of each dynamic axis, or None where a shape does not fit; axes of one name have one size."""
    if wanted == ANY_RANK:
        return {}
    if len(wanted) != len(given):
        return None
    shown: dict[str, int] = {}
    for axis, size in zip(wanted, given, strict=True):
        if isinstance(axis, str):
            shown.setdefault(axis, sizes.get(axis, size))
        if size != (shown[axis] if isinstance(axis, str) else axis):
            return None
    return shown


def named_axes(shapes: Iterable[Sequence[int | str | None] | None]) -> list[tuple[Axis, ...]]:
    """Gives every dynamic axis of a file a name.

    Args:
        shapes: of all inputs and outputs, in order; an axis that is None, empty or negative is dynamic and has no name
            in the file; None for a tensor of unknown rank.
    """
    shapes = list(shapes)
    taken = {axis for shape in shapes for axis in shape or () if isinstance(axis, str)}
    fresh = (name for name in map("axis{}".format, count()) if name not in taken)

    def named(axis: int | str | None) -> Axis:
        is_dynamic = axis is None or axis == "" or (isinstance(axis, int) and axis < 0)
        return next(fresh) if is_dynamic or axis is None else axis

    return [ANY_RANK if shape is None else tuple(map(named, shape)) for shape in shapes]


def one_line(message: object) -> str:
    """A runtime's message without its line breaks."""
    return " ".join(str(message).split())
