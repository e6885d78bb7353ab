"""The truth table, the golden points and the calibration grid."""

from itertools import product

import numpy as np
import pytest

from models.or_gate import numpy_net
from models.or_gate.data import golden_inputs, labels, representative_dataset, training_rows
from models.or_gate.spec import SPEC

TABLE = {"0,0": 0, "0,1": 1, "1,0": 1, "1,1": 1}


def test_training_sees_three_rows():
    x, target = training_rows()
    assert x.dtype == target.dtype == np.float32
    np.testing.assert_array_equal(x, [[0, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(target, [[0], [1], [1]])


def test_labels_are_the_truth_table():
    assert labels() == TABLE


def test_golden_inputs_hold_the_truth_table():
    rows = {name: inputs["x"].tolist() for name, inputs in golden_inputs().items() if name in TABLE}
    assert rows == {"0,0": [[0, 0]], "0,1": [[0, 1]], "1,0": [[1, 0]], "1,1": [[1, 1]]}


def test_every_golden_input_has_its_point_as_name():
    for name, inputs in golden_inputs().items():
        np.testing.assert_array_equal(inputs["x"], [np.array(name.split(","), np.float32)])


def test_golden_inputs_fit_the_spec():
    [tensor] = SPEC.inputs
    for inputs in golden_inputs().values():
        tensor.check(inputs["x"].dtype.name, inputs["x"].shape, where="golden")
        assert tensor.minimum <= inputs["x"].min() <= inputs["x"].max() <= tensor.maximum


@pytest.mark.parametrize("seed", range(5))
def test_swapped_inputs_are_visible_in_the_asymmetric_points_only(seed):
    weights = numpy_net.train(seed)

    def off(inputs):
        swapped = {"x": inputs["x"][:, ::-1]}
        return abs(float((numpy_net.forward(weights, inputs)["y"] - numpy_net.forward(weights, swapped)["y"]).item()))

    seen = {name: off(inputs) for name, inputs in golden_inputs().items()}
    assert {name for name in TABLE if seen[name] > 0} == {"0,1", "1,0"}
    worst = max(value for name, value in seen.items() if name not in TABLE)
    # An order of magnitude over what the hops of float files tolerate.
    assert worst > 10 * SPEC.tolerance("to_onnx").atol


def test_calibration_sees_the_whole_range():
    calls = [inputs["x"] for inputs in representative_dataset()]
    assert {call.shape for call in calls} == {(1, 2)}
    assert {call.dtype for call in calls} == {np.dtype(np.float32)}
    points = {tuple(call[0].tolist()) for call in calls}
    assert set(product([0.0, 1.0], repeat=2)) <= points
    assert len(points) == len(calls) > 4
    assert np.min(calls) == 0
    assert np.max(calls) == 1
