"""The OR truth table: three rows to train on, the fourth to predict; and the inputs for parity and calibration."""

from collections.abc import Iterator

import numpy as np

from contract.arrays import FloatArray, Tensors

__all__ = ["golden_inputs", "labels", "representative_dataset", "training_rows"]

_ROWS = {"0,0": 0, "0,1": 1, "1,0": 1, "1,1": 1}

# Points off the table, with unequal inputs: the table alone cannot see that the two inputs were swapped.
_ASYMMETRIC = ((0.2, 0.9), (0.9, 0.2), (0.25, 0.5), (0.05, 0.6), (0.6, 0.05))


def _row(name: str) -> list[float]:
    return [float(bit) for bit in name.split(",")]


def training_rows() -> tuple[FloatArray, FloatArray]:
    """Inputs [3, 2] and targets [3, 1], float32: the truth table without its last row, which is to be predicted."""
    seen = list(_ROWS)[:3]
    return (
        np.array([_row(name) for name in seen], np.float32),
        np.array([[_ROWS[name]] for name in seen], np.float32),
    )


def golden_inputs() -> dict[str, Tensors]:
    """One call with batch 1 a vector, by its name: the truth table, then the asymmetric points."""
    points = {name: _row(name) for name in _ROWS} | {f"{a},{b}": [a, b] for a, b in _ASYMMETRIC}
    return {name: {"x": np.array([point], np.float32)} for name, point in points.items()}


def labels() -> dict[str, int]:
    """The right class of each golden vector that has one: the truth table."""
    return dict(_ROWS)


def representative_dataset() -> Iterator[Tensors]:
    """Calls with batch 1 over a grid on the whole range, corners included.

    Without all four corners an int8 network is off at 1,1: its activations there lie outside the calibrated range.
    """
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    for a in steps:
        for b in steps:
            yield {"x": np.array([[a, b]], np.float32)}
