"""Scikit-learn's 1,797 digits, split once, and the one way that pixels become inputs."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from contract.arrays import Array, FloatArray, Tensors

__all__ = [
    "evaluation",
    "golden_inputs",
    "held_out_rows",
    "labels",
    "preprocess",
    "representative_dataset",
    "training_rows",
]

_BRIGHTEST = 16
"""A pixel counts how many of the 4 x 4 points under it are inked (Optical Recognition of Handwritten Digits, UCI)."""
_TEST_ROWS = 360
"""A fifth of the rows."""
_SPLIT_SEED = 0
_CALIBRATION_CALLS = 100
_BATCH = 60

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def preprocess(pixels: Array) -> FloatArray:
    """What training, calibration and every client do to an image before the network sees it.

    Args:
        pixels: any number type, [..., 8, 8], 0 (paper) to 16 (ink).

    Returns:
        float32, the same shape, 0 to 1.
    """
    scaled: FloatArray = np.asarray(pixels, np.float32) / np.float32(_BRIGHTEST)
    return scaled


@cache
def _rows() -> tuple[FloatArray, Array]:
    """Every image and its class, in an order that mixes the writers; neither array can be written to."""
    from sklearn.datasets import load_digits  # a second to import, which only the steps that need images pay

    pixels, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(classes))
    images, classes = preprocess(pixels.reshape(-1, 8, 8)[order]), classes[order].astype(np.int64)
    images.flags.writeable = classes.flags.writeable = False
    return images, classes


def training_rows() -> tuple[FloatArray, Array]:
    """Images float32 [1437, 8, 8] and their classes int64 [1437]."""
    images, classes = _rows()
    return images[:-_TEST_ROWS], classes[:-_TEST_ROWS]


def held_out_rows() -> tuple[FloatArray, Array]:
    """Images float32 [360, 8, 8] and their classes int64 [360], none of which training sees."""
    images, classes = _rows()
    return images[-_TEST_ROWS:], classes[-_TEST_ROWS:]


def golden_inputs() -> dict[str, Tensors]:
    """The first test image of each class, by the name of its class; batch 1."""
    images, classes = held_out_rows()
    firsts = (int(np.argmax(classes == digit)) for digit in range(10))
    return {name: {"image": images[i : i + 1]} for name, i in zip(_NAMES, firsts, strict=True)}


def labels() -> dict[str, int]:
    """The class of each golden image."""
    return {name: digit for digit, name in enumerate(_NAMES)}


def representative_dataset() -> Iterator[Tensors]:
    """Calls with batch 1: training images, some ten of each class."""
    for image in training_rows()[0][:_CALIBRATION_CALLS]:
        yield {"image": image[None]}


def evaluation() -> Iterator[tuple[Tensors, Array]]:
    """The test images in calls of 60, and the right class of each."""
    images, classes = held_out_rows()
    for start in range(0, len(classes), _BATCH):
        yield {"image": images[start : start + _BATCH]}, classes[start : start + _BATCH]
