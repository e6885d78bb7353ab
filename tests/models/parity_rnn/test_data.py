"""Sequences and their parity."""

import numpy as np
import pytest

from models.parity_rnn.data import (
    SEEN,
    UNSEEN,
    evaluation,
    golden_inputs,
    labels,
    parity,
    random_bits,
    representative_dataset,
)
from models.parity_rnn.spec import SPEC


@pytest.mark.parametrize(
    ("bits", "odd"),
    [([0], [0]), ([1], [1]), ([1, 1, 0, 1], [1, 0, 0, 1]), ([0, 0, 0], [0, 0, 0]), ([1] * 5, [1, 0, 1, 0, 1])],
)
def test_parity_is_that_of_the_ones_so_far(bits, odd):
    assert parity(np.array([bits], np.float32)[..., None]).tolist() == [odd]


def test_bits_are_zeros_and_ones_in_any_share():
    bits = random_bits(np.random.default_rng(0), 500, 40)
    assert bits.shape == (500, 40, 1)
    assert set(bits.flat) == {0.0, 1.0}
    shares = bits.mean(axis=(1, 2))
    assert shares.min() < 0.05
    assert shares.max() > 0.95


def test_every_call_fits_the_spec():
    [spec] = SPEC.inputs
    calls = [*golden_inputs().values(), *representative_dataset(), *(inputs for inputs, _ in evaluation())]
    for inputs in calls:
        spec.check(inputs["bits"].dtype.name, inputs["bits"].shape, where="data")


def test_golden_labels_count_the_ones():
    assert labels() == {name: int(inputs["bits"].sum()) % 2 for name, inputs in golden_inputs().items()}
    assert set(labels().values()) == {0, 1}


def test_the_evaluation_has_lengths_that_training_never_saw():
    lengths = [inputs["bits"].shape[1] for inputs, _ in evaluation()]
    assert lengths == [*SEEN, *UNSEEN]
    assert min(UNSEEN) > max(SEEN)
    for inputs, odd in evaluation():
        np.testing.assert_array_equal(inputs["bits"].sum(axis=(1, 2)) % 2, odd)
