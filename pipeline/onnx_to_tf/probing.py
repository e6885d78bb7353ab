"""The inputs that a converted model is tried with, at two sizes of its dynamic axes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import onnx_ir as ir

from contract.arrays import Array, Tensors
from contract.errors import ConversionError, FormatError, UsageError
from contract.hints import hint

__all__ = ["FILLS", "Call", "Fill", "check_axes", "given_call", "random_calls"]

_BATCHES = (1, 7)
_SIZES = ((3, 5), (16, 24), (32, 64), (224, 256))
"""Sizes of an axis that is not the batch, in pairs: the next where a network is too deep for the one before."""

_WORDS = (b"", b"a", b"showdown", "Größe 9".encode())

_SEED = 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the model.

    Attributes:
        name: the sizes of its dynamic axes, for messages; or the file that it is from.
        inputs: the tensors, strings as bytes.
    """

    name: str
    inputs: Tensors


@dataclass(frozen=True, slots=True)
class Fill:
    """How random tensors are drawn.

    Attributes:
        is_positive: floats from 0 to 1 instead of normal ones, which a logarithm or a root gives NaN for; whole numbers
            are 1 then, instead of 0 or 1: an index into a table that may have two rows only, but no size.
    """

    is_positive: bool

    def tensor(self, dtype: ir.DataType, shape: Sequence[int], rng: np.random.Generator) -> Array:
        """A tensor of random values."""
        if dtype == ir.DataType.STRING:
            chosen = np.empty(math.prod(shape), object)
            chosen[:] = [_WORDS[i] for i in rng.integers(len(_WORDS), size=chosen.size)]
            return chosen.reshape(shape)
        numpy = dtype.numpy()
        if dtype == ir.DataType.BOOL:
            return rng.integers(0, 1, shape, endpoint=True).astype(bool)
        if dtype.is_integer():
            return rng.integers(int(self.is_positive), 1, shape, endpoint=True).astype(numpy)
        values = rng.uniform(0, 1, shape) if self.is_positive else rng.standard_normal(shape)
        return np.asarray(values).astype(numpy)


FILLS = (Fill(is_positive=False), Fill(is_positive=True))


def check_axes(model: ir.Model, sizes: Mapping[str, Sequence[int]]) -> None:
    """Refuses sizes for an axis that no input has.

    Raises:
        UsageError: lists those that there are.
    """
    known = list(dict.fromkeys(_axes(model)))
    for name, wanted in sizes.items():
        if name not in known:
            raise UsageError(f"no input has a dynamic axis {name!r}; {hint(name, known)}")
        if not wanted or min(wanted) < 1:
            raise UsageError(f"axis {name} is tried with the sizes {list(wanted)}; 1 is the least")


def random_calls(model: ir.Model, sizes: Mapping[str, Sequence[int]]) -> Iterator[tuple[tuple[Call, ...], ...]]:
    """Attempts, the likeliest to be valid first; each has a group of alternatives for each of the two sizes.

    Args:
        model: the model as it was read.
        sizes: by axis, the sizes that it is tried with instead of those made up here.

    Yields:
        For each pair of sizes: for the first and, if any axis is dynamic, the second, a call for each of `FILLS`.
    """
    axes = list(dict.fromkeys(_axes(model)))
    batches = {_axis_name(value, 0) for value in _inputs(model)[:1] if value.shape}
    batches |= {name for name in axes if name.endswith(":0")}
    free = [name for name in axes if name not in batches and name not in sizes]
    for pair in _SIZES if free else _SIZES[:1]:
        chosen = {name: sizes.get(name, _BATCHES if name in batches else pair) for name in axes}
        count = max([1, *(len(set(tried)) for tried in chosen.values())])
        yield tuple(
            _alternatives(model, {name: tried[position % len(tried)] for name, tried in chosen.items()})
            for position in range(count)
        )


def given_call(model: ir.Model, file: Path) -> Call:
    """Reads the inputs of one call.

    Args:
        model: the model as it was read.
        file: an .npz file with an array for each input.

    Raises:
        UsageError: there is no such file, or it has other arrays than the model has inputs.
        FormatError: it is no .npz file.
    """
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise FormatError(f"{file}: one array and not an .npz file; numpy.savez(file, NAME=array) writes one")
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, BadZipFile) as err:
        raise FormatError(f"{file}: not an .npz file of plain arrays: {err}") from err
    return Call(str(file), _fitted(model, arrays, str(file)))


def _fitted(model: ir.Model, arrays: Tensors, where: str) -> dict[str, Array]:
    """The arrays in the types of the inputs, where no value changes by that."""
    inputs = {str(value.name): value for value in _inputs(model)}
    if set(inputs) != set(arrays):
        raise UsageError(f"{where}: the inputs are {', '.join(inputs) or 'none'}; given: {', '.join(arrays) or 'none'}")
    fitted = {}
    for name, array in arrays.items():
        dtype = _dtype(inputs[name])
        if dtype == ir.DataType.STRING:
            if array.dtype.kind not in "SU":
                raise UsageError(f"{where}: input {name} takes strings, given {array.dtype}")
            words = [word.encode() if isinstance(word, str) else bytes(word) for word in array.ravel().tolist()]
            fitted[name] = np.array([*words, None], object)[:-1].reshape(array.shape)
            continue
        cast = array.astype(dtype.numpy())
        if dtype.is_integer() and not np.array_equal(cast, array):
            raise UsageError(f"{where}: input {name} takes {dtype.name.lower()}, given {array.dtype} that do not fit")
        fitted[name] = cast
    return fitted


def _inputs(model: ir.Model) -> list[ir.Value]:
    return [value for value in model.graph.inputs if value.const_value is None]


def _axes(model: ir.Model) -> Iterator[str]:
    """The name of each dynamic axis of the inputs."""
    for value in _inputs(model):
        for position, axis in enumerate(value.shape or ()):
            if not isinstance(axis, int):
                yield _axis_name(value, position)


def _axis_name(value: ir.Value, position: int) -> str:
    """The name of an axis; ``INPUT:POSITION`` where the model gives it none."""
    assert value.shape is not None
    axis = value.shape[position]
    name = None if isinstance(axis, int) else axis.value
    return name or f"{value.name}:{position}"


def _alternatives(model: ir.Model, sizes: Mapping[str, int]) -> tuple[Call, ...]:
    shapes = {str(value.name): (_dtype(value), _shape(value, sizes)) for value in _inputs(model)}
    name = ", ".join(f"{axis} {size}" for axis, size in sizes.items()) or "fixed shapes"
    calls = []
    for fill in FILLS:
        rng = np.random.default_rng(_SEED)
        calls.append(Call(name, {key: fill.tensor(dtype, shape, rng) for key, (dtype, shape) in shapes.items()}))
    return tuple(calls)


def _dtype(value: ir.Value) -> ir.DataType:
    if not isinstance(value.type, ir.TensorType):
        raise ConversionError(
            f"input {value.name!r} is no tensor, which a signature cannot take; give the graph tensors"
        )
    return value.type.dtype


def _shape(value: ir.Value, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape at these sizes; an axis such as ``past + new`` is their sum where both are axes too."""
    if value.shape is None:
        return (1,)
    return tuple(
        axis if isinstance(axis, int) else _size(axis, _axis_name(value, position), sizes)
        for position, axis in enumerate(value.shape)
    )


def _size(axis: ir.SymbolicDim, name: str, sizes: Mapping[str, int]) -> int:
    if not name.isidentifier():
        try:
            size = axis.evaluate(dict(sizes))
        except (ValueError, TypeError, SyntaxError):
            size = None
        if isinstance(size, int) and size > 0:
            return size
    return sizes[name]
