"""Sequences of bits and their parity."""

from collections.abc import Iterator

import numpy as np

from contract.arrays import Array, FloatArray, Tensors

__all__ = ["SEEN", "UNSEEN", "evaluation", "golden_inputs", "labels", "parity", "random_bits", "representative_dataset"]

SEEN, UNSEEN = range(1, 13), (20, 50, 100, 200)
"""Lengths of the sequences that training sees, and of some that it never does."""

_ROWS = 50
_SHORT = ("0", "1", "01", "10", "110", "0110100")
_LONG = {"forty": 40, "a hundred": 100}


def random_bits(rng: np.random.Generator, rows: int, length: int) -> FloatArray:
    """Sequences float32 [rows, length, 1]; in each another part is ones, so that rare ones occur as well."""
    share = rng.uniform(0, 1, (rows, 1, 1))
    return (rng.random((rows, length, 1)) < share).astype(np.float32)


def parity(bits: Array) -> Array:
    """1 where the ones up to and including a position are odd: int64 [rows, length] for bits [rows, length, 1]."""
    odd: Array = np.cumsum(bits[..., 0], axis=1).astype(np.int64) % 2
    return odd


def _sequences() -> dict[str, FloatArray]:
    short = {text: np.array([[[float(bit)] for bit in text]], np.float32) for text in _SHORT}
    rng = np.random.default_rng(0)
    long = {name: random_bits(rng, 1, length) for name, length in _LONG.items()}
    return {
        **short,
        "twelve zeros": np.zeros((1, 12, 1), np.float32),
        "seven ones": np.ones((1, 7, 1), np.float32),
        **long,
    }


def golden_inputs() -> dict[str, Tensors]:
    """One call with batch 1 a vector: short sequences by their bits, and some of lengths that training never saw."""
    return {name: {"bits": bits} for name, bits in _sequences().items()}


def labels() -> dict[str, int]:
    """The parity of each golden sequence."""
    return {name: int(parity(bits)[0, -1]) for name, bits in _sequences().items()}


def representative_dataset() -> Iterator[Tensors]:
    """Calls with batch 1, of several lengths."""
    rng = np.random.default_rng(1)
    for length in (1, 2, 5, 12, 30) * 10:
        yield {"bits": random_bits(rng, 1, length)}


def evaluation() -> Iterator[tuple[Tensors, Array]]:
    """50 sequences of each length, those that training never saw included, and their parity."""
    rng = np.random.default_rng(2)
    for length in (*SEEN, *UNSEEN):
        bits = random_bits(rng, _ROWS, length)
        yield {"bits": bits}, parity(bits)[:, -1]
