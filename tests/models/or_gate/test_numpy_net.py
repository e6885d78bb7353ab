"""The oracle: its gradients by finite differences, and what it learns."""

import numpy as np
import pytest

from models.or_gate import numpy_net
from models.or_gate.data import training_rows
from models.or_gate.training import TrainConfig, initial_weights

SHAPES = {"hidden.weight": (2, 2), "hidden.bias": (2,), "output.weight": (1, 2), "output.bias": (1,)}


def random_weights(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 2, shape) for name, shape in SHAPES.items()}


def random_rows(seed):
    rng = np.random.default_rng(seed)
    return rng.random((7, 2)), rng.integers(0, 2, (7, 1)).astype(np.float64)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("rows", [lambda seed: [part.astype(np.float64) for part in training_rows()], random_rows])
def test_gradients_are_the_slopes_of_the_loss(seed, rows):
    weights, (x, target) = random_weights(seed), rows(seed)
    slopes = numpy_net.gradients(weights, x, target)
    assert {name: value.shape for name, value in slopes.items()} == SHAPES
    # Central differences err by step² of the third derivative and by 1e-16 / step of rounding.
    step = 1e-5
    for name, value in weights.items():
        for place in np.ndindex(value.shape):
            losses = []
            for sign in (1, -1):
                moved = {**weights, name: value.copy()}
                moved[name][place] += sign * step
                losses.append(numpy_net.loss(moved, x, target))
            assert slopes[name][place] == pytest.approx((losses[0] - losses[1]) / (2 * step), abs=1e-8)


def test_a_step_goes_down_the_gradient():
    start = {name: value.astype(np.float64) for name, value in initial_weights(0).items()}
    x, target = (part.astype(np.float64) for part in training_rows())
    after = numpy_net.train(0, TrainConfig(steps=1, learning_rate=0.1))
    slopes = numpy_net.gradients(start, x, target)
    for name in SHAPES:
        np.testing.assert_allclose(after[name], start[name] - 0.1 * slopes[name], rtol=1e-15, atol=0)
    assert numpy_net.loss(after, x, target) < numpy_net.loss(start, x, target)


def test_no_steps_give_the_seeded_start():
    for name, value in numpy_net.train(3, TrainConfig(steps=0)).items():
        np.testing.assert_array_equal(value, initial_weights(3)[name])


def test_the_start_depends_on_the_seed_alone():
    first, second, other = initial_weights(0), initial_weights(0), initial_weights(1)
    assert {name: value.shape for name, value in first.items()} == SHAPES
    for name in SHAPES:
        assert first[name].dtype == np.float32
        np.testing.assert_array_equal(first[name], second[name])
        assert not np.array_equal(first[name], other[name])


def test_forward_by_hand():
    weights = {
        "hidden.weight": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "hidden.bias": np.array([0.5, -0.5]),
        "output.weight": np.array([[2.0, -1.0]]),
        "output.bias": np.array([0.25]),
    }

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    a, b = 0.2, 0.9
    hidden = [sigmoid(a + 2 * b + 0.5), sigmoid(3 * a + 4 * b - 0.5)]
    wanted = sigmoid(2 * hidden[0] - hidden[1] + 0.25)
    given = numpy_net.forward(weights, {"x": np.array([[a, b]])})["y"]
    np.testing.assert_allclose(given, [[wanted]], rtol=1e-15, atol=0)


def test_huge_inputs_saturate():
    weights = numpy_net.train(0)
    y = numpy_net.forward(weights, {"x": np.array([[1e15, 1e15], [-1e15, -1e15]])})["y"]
    assert np.isfinite(y).all()
    assert y[0] > 0.9
    assert y[1] < 0.1
