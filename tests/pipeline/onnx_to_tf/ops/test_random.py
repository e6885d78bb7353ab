"""Random numbers: their distribution, since no two runtimes draw the same."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

pytestmark = pytest.mark.slow

OPERATORS: dict[str, tuple[list[str], dict[str, Any], float, float]] = {
    "RandomNormal": ([], {"mean": 2.0, "scale": 3.0, "shape": [100, 100]}, 2.0, 3.0),
    "RandomNormalLike": (["x"], {"mean": 2.0, "scale": 3.0}, 2.0, 3.0),
    "RandomUniform": ([], {"low": 1.0, "high": 4.0, "shape": [100, 100]}, 2.5, 3 / 12**0.5),
    "RandomUniformLike": (["x"], {"low": 1.0, "high": 4.0}, 2.5, 3 / 12**0.5),
    "Bernoulli": (["x"], {}, 0.25, 0.75**0.5 / 2),
}


def module(op_type: str, inputs: list[str], attributes: dict[str, Any], dtype: int = 1) -> Any:
    """One node, converted."""
    from pipeline.onnx_to_tf.convert import to_module

    graph = helper.make_graph(
        [helper.make_node(op_type, inputs, ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", "m"])],
        [helper.make_tensor_value_info("y", dtype, None)],
    )
    return to_module(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))


@pytest.mark.parametrize("op_type", OPERATORS)
@pytest.mark.parametrize("seed", [None, 0.5])
def test_distribution_and_seed(op_type: str, seed: float | None) -> None:
    """With a seed each call draws the same, without one not."""
    inputs, attributes, mean, deviation = OPERATORS[op_type]
    made = module(op_type, inputs, attributes if seed is None else {**attributes, "seed": seed})
    x = np.full((100, 100), 0.25, np.float32)
    first, second = (made.serve(x)["y"].numpy() for _ in range(2))
    assert first.shape == (100, 100)
    assert abs(first.mean() - mean) < 0.1
    assert abs(first.std() - deviation) < 0.1
    assert np.array_equal(first, second) == (seed is not None)


@pytest.mark.parametrize("dtype", [onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16])
def test_stated_type(dtype: int) -> None:
    """Another than the input's."""
    made = module("RandomNormalLike", ["x"], {"dtype": dtype}, dtype)
    given = made.serve(np.zeros((2, 3), np.float32))["y"].numpy()
    assert given.dtype == helper.tensor_dtype_to_np_dtype(dtype)


@pytest.mark.parametrize("dtype", [onnx.TensorProto.INT32, onnx.TensorProto.INT64])
def test_multinomial(dtype: int) -> None:
    """Classes as often as their log probabilities say."""
    made = module("Multinomial", ["x"], {"dtype": dtype, "sample_size": 4000}, dtype)
    shares = np.array([[0.2, 0.8], [0.5, 0.5]], np.float32)
    given = made.serve(np.log(shares))["y"].numpy()
    assert given.dtype == helper.tensor_dtype_to_np_dtype(dtype)
    np.testing.assert_allclose(given.mean(1), shares[:, 1], atol=0.05)
