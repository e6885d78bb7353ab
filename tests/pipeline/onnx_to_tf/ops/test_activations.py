"""Activations with axes that are not known, with stated attributes, and in TFLite."""

import numpy as np
import onnx
import pytest

pytestmark = pytest.mark.slow

X = np.linspace(-8, 8, 60, dtype=np.float32).reshape(5, 12)

FORMS = [
    *("Relu", "LeakyRelu<alpha = 0.3>", "Elu", "Elu<alpha = 0.7>", "Selu", "Selu<alpha = 2.0, gamma = 0.5>"),
    *("Celu<alpha = 0.5>", "Sigmoid", "HardSigmoid<alpha = 0.3, beta = 0.4>", "HardSwish", "Softplus", "Softsign"),
    *("Mish", "ThresholdedRelu<alpha = 1.5>", "Shrink<bias = 0.3, lambd = 1.0>", "Erf", "Gelu", "Tanh"),
    'Gelu<approximate = "tanh">',
]


def model(call, opset=20):
    return (
        f"""<ir_version: 9, opset_import: ["": {opset}]> graph (float[N, M] x) => (float[N, M] y) {{ y = {call}(x) }}"""
    )


@pytest.mark.parametrize("call", FORMS)
def test_forms(check, call):
    check(model(call), {"x": X}, {"x": X[:2, :3]}, rtol=1e-5, atol=2e-6, tflite=True)


@pytest.mark.parametrize("call", ["Softplus", "Mish", "Erf", "Sigmoid", "Elu"])
def test_far_from_zero(check, call):
    check(model(call), {"x": np.array([[-np.inf, -200, -30, 30, 200, np.inf, np.nan]], np.float32)})


@pytest.mark.parametrize("call", ["Softplus", "Mish"])
def test_small_numbers_keep_their_digits(check, call):
    # exp(-10) and less: nothing but the logarithm of 1 + x is left of them.
    check(model(call), {"x": np.array([[-10, -12.5, -14, -16]], np.float32)}, rtol=2e-6, atol=0, tflite=True)


def test_erf_is_as_exact_as_float32(check):
    x = np.linspace(-5, 5, 20001, dtype=np.float32).reshape(1, -1)
    check(model("Erf"), {"x": x}, rtol=5e-7, atol=1e-7)


@pytest.mark.parametrize("slope", ["float[3, 1, 1]", "float[1]"])
def test_slopes_that_are_weights(check, slope):
    count = 3 if "3" in slope else 1
    values = ", ".join(["0.1", "0.2", "0.5"][:count])
    text = f"""<ir_version: 9, opset_import: ["": 17]> graph (float[N, 3, H, 4] x) => (float[N, 3, H, 4] y)
        <{slope} s = {{{values}}}> {{ y = PRelu(x, s) }}"""
    x = np.random.default_rng(2).normal(size=(2, 3, 5, 4)).astype(np.float32)
    check(text, {"x": x}, tflite=True)


@pytest.mark.parametrize("call", ["Softplus", "Asinh", "Atanh", "Gelu", "Erf", "Mish", "Selu"])
def test_gradients_are_those_of_differences(call):
    import tensorflow as tf

    from pipeline.onnx_to_tf import to_module

    module = to_module(onnx.parser.parse_model(model(call)))
    # Not 0 itself, where a Relu inside has no derivative.
    x = tf.constant([[-0.8, -0.3, -1e-3, 1e-3, 0.3, 0.8]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = module.serve(x)["y"]
    gradient = tape.gradient(y, x).numpy()
    step = 1e-2
    difference = (module.serve(x + step)["y"] - module.serve(x - step)["y"]).numpy() / (2 * step)
    inside = np.abs(x.numpy()) > step  # a kink at 0 lies between the two
    np.testing.assert_allclose(gradient[inside], difference[inside], rtol=5e-3)
    assert np.isfinite(gradient).all()
