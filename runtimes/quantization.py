"""Real numbers in and out of integer-quantized models, so that they are called like float models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import SpecError

if TYPE_CHECKING:
    from runtimes.session import Session

__all__ = ["Quantization", "dequantize", "quantize", "run_real"]

_DTYPES = ("int8", "uint8", "int16", "int32")
"""Integer types that TFLite quantizes to (LiteRT 8-bit quantization specification; int16 activations)."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the integers of a whole tensor stand for real numbers: ``real = scale * (integer - zero_point)``.

    Attributes:
        scale: real units per step, finite and > 0.
        zero_point: the integer that stands for 0.0, within the range of ``dtype``.
        dtype: numpy's name of the integer type.

    Raises:
        SpecError: a field is out of its range.
    """

    scale: float
    zero_point: int
    dtype: str

    def __post_init__(self) -> None:
        """Refuses what is no quantization."""
        if self.dtype not in _DTYPES:
            raise SpecError(f"quantized to {self.dtype}: wanted one of {', '.join(_DTYPES)}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise SpecError(f"quantized with scale {self.scale}: wanted a finite number above 0")
        if not self.lowest <= self.zero_point <= self.highest:
            raise SpecError(f"quantized with zero point {self.zero_point}, outside the range of {self.dtype}")

    @property
    def lowest(self) -> int:
        """The smallest integer of the type."""
        return int(np.iinfo(self.dtype).min)

    @property
    def highest(self) -> int:
        """The largest integer of the type."""
        return int(np.iinfo(self.dtype).max)


def quantize(values: NDArray[Any], quantization: Quantization) -> NDArray[Any]:
    """Rounds real numbers to the nearest step and clips what lies outside the range.

    Args:
        values: real numbers, any shape; infinities clip.
        quantization: of the tensor.

    Returns:
        Same shape, dtype of ``quantization``; off by half a step at most inside the range.

    Raises:
        SpecError: a value is not a number.
    """
    steps = np.rint(np.asarray(values, np.float64) / quantization.scale) + quantization.zero_point
    if np.isnan(steps).any():
        raise SpecError(f"NaN has no {quantization.dtype} value")
    integers: NDArray[Any] = np.clip(steps, quantization.lowest, quantization.highest).astype(quantization.dtype)
    return integers


def dequantize(values: NDArray[Any], quantization: Quantization) -> NDArray[np.float32]:
    """The real numbers that integers stand for.

    Args:
        values: integers, any shape, dtype of ``quantization``.
        quantization: of the tensor.
    """
    steps = np.asarray(values, np.float64) - quantization.zero_point
    return (steps * quantization.scale).astype(np.float32)


def run_real(session: Session, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Runs a session on real numbers, whether its file is quantized or not.

    Args:
        session: any; tensors that are not quantized pass unchanged.
        inputs: name and value of each input, real numbers where the file has integers for them.

    Returns:
        The outputs, float32 where the file is quantized.

    Raises:
        SpecError, RuntimeRefusedError, ValueError: as `Session.run`; SpecError also for a NaN in a quantized input.
    """
    parameters = session.quantization
    outputs = session.run({n: quantize(v, parameters[n]) if n in parameters else v for n, v in inputs.items()})
    return {n: dequantize(v, parameters[n]) if n in parameters else v for n, v in outputs.items()}
