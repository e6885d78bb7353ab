"""The data of a model: a module's functions, the rows of an .npz file, or nothing at all."""

import importlib
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from contract.arrays import Array, Tensors
from contract.errors import SpecError
from contract.hints import hint
from contract.model_spec import ModelSpec
from contract.tensor_spec import TensorSpec
from runtimes.session import one_line

__all__ = ["Data", "load_data", "observed_range"]

_GOLDEN_ROWS = 8
"""Rows of an .npz file that become golden vectors: enough to tell files apart, few enough for a phone."""
_CALIBRATION_CALLS = 500
"""More than this changes no range that a converter measures, and each costs a run of the network."""


class Data(Protocol):
    """What is known of a model's inputs."""

    def golden_inputs(self) -> dict[str, Tensors]:
        """Calls that every device replays, by name; batch 1."""

    def labels(self) -> dict[str, int]:
        """The right class of each golden input that has one."""

    def representative_dataset(self) -> Iterator[Tensors]:
        """Calls for calibration; none where the data is not known."""

    def evaluation(self) -> Iterator[tuple[Tensors, Array]]:
        """Calls to measure accuracy on, and the right class of each of their rows, int64."""


def load_data(spec: ModelSpec, calibration: Path | None) -> Data:
    """The data of a model.

    Args:
        spec: its spec, which names the module where there is one.
        calibration: an .npz file with an array an input, a row a call; instead of a module.

    Raises:
        SpecError: the file cannot be read, or its arrays are not the spec's inputs.
    """
    return _Rows(spec, calibration) if calibration else _Module(spec)


class _Module:
    """A module with any of the functions; what it lacks is not known."""

    def __init__(self, spec: ModelSpec) -> None:
        self._module = importlib.import_module(spec.data) if spec.data else ModuleType("nothing")

    def golden_inputs(self) -> dict[str, Tensors]:
        calls: dict[str, Tensors] = getattr(self._module, "golden_inputs", dict)()
        return calls

    def labels(self) -> dict[str, int]:
        classes: dict[str, int] = getattr(self._module, "labels", dict)()
        return classes

    def representative_dataset(self) -> Iterator[Tensors]:
        yield from getattr(self._module, "representative_dataset", tuple)()

    def evaluation(self) -> Iterator[tuple[Tensors, Array]]:
        yield from getattr(self._module, "evaluation", tuple)()


class _Rows:
    """An .npz file: its arrays are the inputs, one behind another along the first axis."""

    def __init__(self, spec: ModelSpec, path: Path) -> None:
        self._rows = read_rows(path, spec.inputs)
        sizes = {size for tensor in spec.inputs if isinstance(size := next(iter(tensor.shape), 1), int)}
        self._size = max(sizes, default=1)

    def golden_inputs(self) -> dict[str, Tensors]:
        return {f"row {i}": call for i, call in enumerate(islice(self._calls(), _GOLDEN_ROWS))}

    def labels(self) -> dict[str, int]:
        return {}

    def representative_dataset(self) -> Iterator[Tensors]:
        return islice(self._calls(), _CALIBRATION_CALLS)

    def evaluation(self) -> Iterator[tuple[Tensors, Array]]:
        return iter(())

    def _calls(self) -> Iterator[Tensors]:
        """As many rows a call as the network's first axis has, where it is fixed; else one."""
        count = len(next(iter(self._rows.values())))
        for start in range(0, count - self._size + 1, self._size):
            yield {name: rows[start : start + self._size] for name, rows in self._rows.items()}


def read_rows(path: Path, inputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Reads calibration data, and holds it against the inputs.

    Raises:
        SpecError: the file cannot be read, or an array is missing, unknown, NaN, or of another dtype or shape.
    """
    try:
        with np.load(path, allow_pickle=False) as entries:
            rows = {name: np.asarray(entries[name]) for name in entries.files}
    except (OSError, ValueError, EOFError, MemoryError, TypeError, zipfile.BadZipFile, zlib.error) as err:
        raise SpecError(f"{path}: no .npz file of calibration data: {one_line(err)}") from err
    names = [tensor.name for tensor in inputs]
    for name in set(rows) - set(names):
        raise SpecError(f"{path}: the model has no input {name!r}; {hint(name, names)}")
    for tensor in inputs:
        if tensor.name not in rows:
            raise SpecError(f"{path}: has no array {tensor.name!r}; {hint(tensor.name, list(rows))}")
        rows[tensor.name] = _fitted(rows[tensor.name], tensor, path)
    if len({len(array) for array in rows.values()}) > 1:
        counts = {name: len(array) for name, array in rows.items()}
        raise SpecError(f"{path}: the arrays have different numbers of rows: {counts}")
    return {name: rows[name] for name in names}


def _fitted(rows: Array, tensor: TensorSpec, path: Path) -> Array:
    if tensor.dtype == "object" and rows.dtype.kind in "SU":
        strings = np.empty(rows.size, object)
        strings[:] = [item.encode() if isinstance(item, str) else item for item in rows.ravel().tolist()]
        rows = strings.reshape(rows.shape)
    elif rows.dtype.kind == np.dtype(tensor.dtype).kind:
        rows = rows.astype(tensor.dtype)  # float64 for float32 is what numpy makes of most lists
    if not rows.ndim or not len(rows):
        raise SpecError(f"{path}: {tensor.name} has no rows; one row a call is wanted")
    tensor.check(rows.dtype.name, [None, *rows.shape[1:]], where=f"{path}: {tensor.name}")
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        at = np.argwhere(~np.isfinite(rows))[0].tolist()
        raise SpecError(f"{path}: {tensor.name} holds NaN or infinity at {at}")
    return rows


def observed_range(rows: Array) -> tuple[float | None, float | None]:
    """Smallest and largest value; None for both where there is no order, or only one value."""
    if rows.dtype.kind not in "fiu":
        return None, None
    low, high = float(rows.min()), float(rows.max())
    return (low, high) if low < high else (None, None)
