"""The digits: their split, their preparation, and what each function of the data gives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.digits.data import (
    evaluation,
    golden_inputs,
    held_out_rows,
    labels,
    preprocess,
    representative_dataset,
    training_rows,
)
from models.digits.spec import SPEC

ROOT = Path(__file__).parents[3]


def test_the_split_leaves_nothing_out_and_nothing_twice():
    rows = np.concatenate([training_rows()[0], held_out_rows()[0]]).reshape(-1, 64)
    assert rows.shape == (1797, 64)
    from sklearn.datasets import load_digits

    wanted = preprocess(load_digits().data)
    assert sorted(map(bytes, rows)) == sorted(map(bytes, wanted))


def test_every_class_is_on_both_sides():
    for images, classes in (training_rows(), held_out_rows()):
        assert set(classes.tolist()) == set(range(10))
        assert (images.dtype.name, classes.dtype.name) == ("float32", "int64")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_pixels_become_numbers_from_0_to_1(dtype):
    assert preprocess(np.array([[0, 4, 16]], dtype)).tolist() == [[0.0, 0.25, 1.0]]
    assert preprocess(np.zeros((3, 8, 8), dtype)).dtype == np.float32


def test_every_call_fits_the_spec():
    [spec] = SPEC.inputs
    calls = [*golden_inputs().values(), *representative_dataset(), *(inputs for inputs, _ in evaluation())]
    for inputs in calls:
        assert inputs.keys() == {"image"}
        spec.check(inputs["image"].dtype.name, inputs["image"].shape, where="data")
        assert 0 <= inputs["image"].min() <= inputs["image"].max() <= 1
    assert {len(inputs["image"]) for inputs in golden_inputs().values()} == {1}


def test_there_is_a_golden_image_of_each_class_from_the_held_out_ones():
    images, classes = held_out_rows()
    for name, inputs in golden_inputs().items():
        at = [i for i, image in enumerate(images) if np.array_equal(image, inputs["image"][0])]
        assert classes[at].tolist() == [labels()[name]]
    assert sorted(labels().values()) == list(range(10))


def test_the_evaluation_is_the_held_out_part():
    calls = list(evaluation())
    np.testing.assert_array_equal(np.concatenate([inputs["image"] for inputs, _ in calls]), held_out_rows()[0])
    np.testing.assert_array_equal(np.concatenate([classes for _, classes in calls]), held_out_rows()[1])


def test_the_images_are_loaded_only_when_they_are_needed():
    program = "import sys, models.digits.data; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
