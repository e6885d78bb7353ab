"""Two sets of outputs held against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contract.arrays import Array, Tensors
from contract.errors import ParityError
from contract.model_spec import Tolerance
from pipeline.verify.probes import Probe

__all__ = ["Parity", "check_parity"]


@dataclass(frozen=True, slots=True)
class Parity:
    """What was measured over all probes.

    Attributes:
        max_abs_diff: the largest |actual - expected|.
        mean_abs_diff: the mean of it over all values.
        values: how many values were compared.
    """

    max_abs_diff: float
    mean_abs_diff: float
    values: int


def check_parity(
    hop: str,
    probes: Sequence[Probe],
    expected: Mapping[str, Tensors],
    actual: Mapping[str, Tensors],
    tolerance: Tolerance,
) -> Parity:
    """Compares the outputs of every probe.

    Two NaN count as equal, and so do two infinities of one sign; a NaN on one side only is over every tolerance.

    Args:
        hop: what is compared, for the message.
        probes: the calls to compare.
        expected: outputs of the step before, by the probe's name.
        actual: outputs of this step, by the probe's name.
        tolerance: how far a value may be off.

    Raises:
        ParityError: a tensor is missing, has another shape or dtype, or a value is off by more than the tolerance.
    """
    total, count, largest = 0.0, 0, 0.0
    worst: tuple[float, str] | None = None
    for probe in probes:
        for name, wanted in expected[probe.name].items():
            given = actual[probe.name].get(name)
            where = f"{hop}: {name} for {probe.kind.value} input {probe.name!r}"
            if given is None:
                raise ParityError(f"{where}: is not among the outputs {sorted(actual[probe.name])}")
            if given.shape != wanted.shape or given.dtype != wanted.dtype:
                raise ParityError(
                    f"{where}: is {given.dtype}{list(given.shape)}, the step before gave "
                    f"{wanted.dtype}{list(wanted.shape)}"
                )
            if wanted.dtype == object or wanted.dtype == bool:
                _check_same(wanted, given, where)
                count += wanted.size
                continue
            off = _difference(wanted, given)
            excess = off - _allowed(wanted, tolerance)
            total, count = total + float(off.sum()), count + off.size
            largest = max(largest, float(off.max(initial=0)))
            if not excess.size:
                continue
            at = np.unravel_index(int(np.argmax(excess)), excess.shape)
            if excess[at] > 0 and (worst is None or excess[at] > worst[0]):
                worst = (float(excess[at]), f"{where}, {_off(probe.inputs, wanted, given, off, at, tolerance)}")
    if worst:
        raise ParityError(worst[1])
    return Parity(largest, total / max(count, 1), count)


def _check_same(wanted: Array, given: Array, where: str) -> None:
    """Strings and truth values are the same or not; there is no difference to measure."""
    wrong = np.argwhere(wanted != given)
    if len(wrong):
        at = tuple(wrong[0])
        raise ParityError(f"{where}: is {given[at]!r} at {list(map(int, at))}, the step before gave {wanted[at]!r}")


def _difference(wanted: Array, given: Array) -> Array:
    a, b = wanted.astype(np.float64), given.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(same, 0.0, np.where(np.isfinite(a) & np.isfinite(b), np.abs(a - b), np.inf))


def _allowed(wanted: Array, tolerance: Tolerance) -> Array:
    """How far each value may be off; finite beside NaN and infinity too, or a comparison with it would never fail."""
    size = np.abs(wanted.astype(np.float64))
    size = np.where(np.isfinite(size), size, 0.0)
    allowed: Array = tolerance.atol + tolerance.rtol * size + tolerance.of_largest * size.max(initial=0.0)
    return allowed


def _off(inputs: Tensors, wanted: Array, given: Array, off: Array, at: Sequence[np.intp], tolerance: Tolerance) -> str:
    return (
        f"{_row(inputs, at)}: is {given[at]:.9g}, the step before gave {wanted[at]:.9g}, |difference| {off[at]:.3g} is "
        f"over the tolerance of {tolerance}"
    )


def _row(inputs: Tensors, at: Sequence[np.intp]) -> str:
    """The part of the inputs that belongs to an output value: its row, where the inputs have that many."""
    row = int(at[0]) if len(at) else 0
    shown = {name: value[row] if value.ndim and row < len(value) else value for name, value in inputs.items()}
    texts = {name: np.array2string(value, threshold=8, precision=8) for name, value in shown.items()}
    return ", ".join(f"{name} = {' '.join(text.split())}" for name, text in texts.items())
