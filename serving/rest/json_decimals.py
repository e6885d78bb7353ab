"""Floats of tensors as TensorFlow Serving prints them.

Six digits if they read back equal, else as many as the type may need (9 or 17); a whole number gets ``.0`` unless it
has an exponent. Numbers below the normal range print as zero: the server's threads flush them.
"""

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decimals"]

_ODD = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_FEW = 24
"""Up to so many values one at a time are faster than numpy."""

_FLOAT = struct.Struct("f")
_TINY = {4: 2.0**-126, 8: 2.0**-1022}
_CLOSE = {4: 6.1e-8, 8: 1e-15}
"""A number that reads back equal from six digits is no farther from them than this, relatively."""


def decimals(array: NDArray[Any]) -> list[str]:
    """The text of each element of an array of float32 or float64, in C order."""
    size = array.itemsize
    if array.size <= _FEW:
        return [_decimal(value, size) for value in array.ravel().tolist()]
    return _many(array.ravel(), size)


def _decimal(value: float, size: int) -> str:
    text = f"{value:g}"
    if text in _ODD:
        return _ODD[text]
    if -_TINY[size] < value < _TINY[size]:
        return "-0.0" if math.copysign(1.0, value) < 0 else "0.0"
    read = float(text)
    if read != value:
        if size == 8:
            text = f"{value:.17g}"
        elif _FLOAT.unpack(_FLOAT.pack(read))[0] != value:
            text = f"{value:.9g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _many(array: NDArray[Any], size: int) -> list[str]:
    finite = np.isfinite(array)
    wide = np.where(finite, array, array.dtype.type(0)).astype(np.float64)
    magnitude = np.abs(wide)
    normal = magnitude >= _TINY[size]
    wide[~normal] *= 0.0
    with np.errstate(all="ignore"):
        scale = 10.0 ** (5.0 - np.floor(np.log10(np.where(normal, magnitude, 1.0))))
        near = np.abs(np.rint(wide * scale) / scale - wide) <= _CLOSE[size] * magnitude
    near |= ~np.isfinite(scale) | (scale < 1e-290)  # too far out for this test
    texts: list[str] = np.where(near, "%g", "%.9g" if size == 4 else "%.17g").tolist()
    texts = (" ".join(texts) % tuple(wide.tolist())).split(" ")
    if near.any():
        indices = np.flatnonzero(near)
        read = np.array([float(texts[index]) for index in indices.tolist()])
        read = read.astype(np.float32).astype(np.float64) if size == 4 else read
        for index in indices[read != wide[indices]].tolist():
            texts[index] = _decimal(wide.item(index), size)
    for index in np.flatnonzero(wide == np.rint(wide)).tolist():
        if "e" not in texts[index] and "." not in texts[index]:
            texts[index] += ".0"
    for index in np.flatnonzero(~finite).tolist():
        texts[index] = _decimal(array.item(index), size)
    return texts
