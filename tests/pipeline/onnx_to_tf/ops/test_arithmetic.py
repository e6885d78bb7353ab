"""Arithmetic in what ONNX's own tests leave out: axes that are not known, old opsets, TFLite, large whole numbers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytestmark = pytest.mark.slow

INT64 = np.array([[-(2**62) - 7, 2**62 + 5, -7, 7, 6, -6, 0, 2**40 + 1, -(2**33), 1]], np.int64)
DIVISORS = np.array([[3, -7, 2, -2, 3, 3, 5, 2**20 + 1, 2**33, -1]], np.int64)


def binary(op, dtype, *, attributes="", opset=17):
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
        graph ({dtype}[N, M] a, {dtype}[N, M] b) => ({dtype}[N, M] y) {{ y = {op}{attributes}(a, b) }}"""


def unary(op, dtype, *, opset=17):
    return f"""<ir_version: 8, opset_import: ["": {opset}]>
        graph ({dtype}[N, M] x) => ({dtype}[N, M] y) {{ y = {op}(x) }}"""


@pytest.mark.parametrize("op", ["Div", "Mod", "Mod<fmod = 1>"])
@pytest.mark.parametrize(("name", "dtype"), [("int32", np.int32), ("int64", np.int64)])
def test_whole_numbers_divide_exactly(check, op, name, dtype):
    a, b = INT64, DIVISORS
    if dtype == np.int32:
        a, b = np.clip(a, -(2**31) + 1, 2**31 - 1), np.clip(b, -(2**20), 2**20)
    check(binary(op, name), {"a": a.astype(dtype), "b": b.astype(dtype)}, tflite=True)


def test_random_whole_numbers_of_any_size_divide_exactly(check):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-(2**62), 2**62, (1, 4000)) >> rng.integers(0, 62, (1, 4000)) for _ in range(2))
    b[b == 0] = 1
    check(binary("Div", "int64"), {"a": a, "b": b}, tflite=True)


def test_products_of_sizes_that_int32_has_not_divide_exactly(check):
    model = """<ir_version: 8, opset_import: ["": 17]> graph (float[N, M] x) => (int64[1] y)
        <int64[1] k = {100000}, int64[1] d = {7}>
        { size = Size(x) once = Mul(size, k) twice = Mul(once, k) y = Div(twice, d) }"""
    check(model, {"x": np.zeros((3, 4), np.float32)}, tflite=True)


def test_fmod_keeps_the_sign_of_zero(check):
    a, b = np.array([[-0.0, 0.0, -4, 5.5, -5.5]], np.float32), np.array([[2, 2, 2, np.inf, 2]], np.float32)
    given = check(binary("Mod<fmod = 1>", "float"), {"a": a, "b": b}, tflite=True)
    assert np.signbit(given["y"]).tolist() == [[True, False, True, False, True]]


@pytest.mark.parametrize(("name", "dtype"), [("int32", np.int32), ("int64", np.int64)])
def test_whole_powers(check, name, dtype):
    base = np.array([[2, -3, 1, -1, -1, 7, 0, 5, 2, -2]], dtype)
    exponent = np.array([[10, 5, 40, 7, 8, 0, 3, 2, -1, -3]], dtype)
    check(binary("Pow", name), {"a": base, "b": exponent}, tflite=True)


@pytest.mark.parametrize("exponent", ["2.0", "3.0", "0.5", "-1.0", "2.5"])
def test_power_of_reals_with_a_known_exponent(check, exponent):
    model = f"""<ir_version: 8, opset_import: ["": 17]>
        graph (float[N, M] x) => (float[N, M] y) <float e = {{{exponent}}}> {{ y = Pow(x, e) }}"""
    check(model, {"x": np.linspace(0.1, 5, 12, dtype=np.float32).reshape(3, 4)}, tflite=True)


@pytest.mark.parametrize("op", ["Abs", "Sign", "Neg"])
@pytest.mark.parametrize(("name", "dtype"), [("float", np.float32), ("int32", np.int32), ("int64", np.int64)])
def test_signs(check, op, name, dtype):
    check(unary(op, name), {"x": np.array([[-7, 0, 3], [2**20, -(2**20), 1]], dtype)}, tflite=True)


@pytest.mark.parametrize("op", ["Min", "Max"])
def test_nan_wins(check, op):
    a, b = np.array([[np.nan, 1, np.inf, -1]], np.float32), np.array([[1, np.nan, 2, -np.inf]], np.float32)
    check(binary(op, "float"), {"a": a, "b": b})


@pytest.mark.parametrize("bounds", ["-inf, 3", "0, inf", "0, 6", "-1, 1", "2, -2"])
def test_known_bounds(check, bounds):
    low, high = (np.float32(bound) for bound in bounds.split(","))
    graph = helper.make_graph(
        [helper.make_node("Clip", ["x", "low", "high"], ["y"])],
        "clip",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in (("low", low), ("high", high))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    check(model, {"x": np.array([-np.inf, -5, 0.5, 4, 9, np.inf], np.float32)}, tflite=True)


@pytest.mark.parametrize(
    ("op", "function"), [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide)]
)
def test_axis_of_opset_6(op, function):
    import tensorflow as tf

    from pipeline.onnx_to_tf import to_module

    # ONNX Runtime begins at opset 7: the specification's own words, b's axis stands at a's axis 1.
    model = f"""<ir_version: 3, opset_import: ["": 6]>
        graph (float[2, 3, 4] a, float[3] b) => (float[2, 3, 4] y) {{ y = {op}<broadcast = 1, axis = 1>(a, b) }}"""
    a, b = np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.array([1, 2, 4], np.float32)
    given = to_module(onnx.parser.parse_model(model)).serve(tf.constant(a), tf.constant(b))["y"]
    np.testing.assert_allclose(given.numpy(), function(a, b[:, None]))


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("name", ["uint8", "uint32"])
def test_bits_move(check, direction, name):
    x = np.array([[1, 255, 128, 77]], name)
    places = np.array([[7, 1, 3, 0]], name)
    check(binary("BitShift", name, attributes=f'<direction = "{direction}">'), {"a": x, "b": places}, tflite=True)
