"""Truth values, comparisons and bits: whole types, infinities in TFLite, axes that are not known."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EDGES = np.array([[0, -1, 1, -(2**31), 2**31 - 1, 0x5A5A5A5A, -0x5A5A5A5A, 12]], np.int32)


@pytest.mark.parametrize("signs", ["", "<detect_negative = 0>", "<detect_positive = 0>"])
def test_infinities(check, signs):
    model = f"""<ir_version: 8, opset_import: ["": 17]>
        graph (float[N] x) => (bool[N] y, bool[N] z) {{ y = IsInf{signs}(x) z = IsNaN(x) }}"""
    check(model, {"x": np.array([0, -np.inf, np.inf, np.nan, 3.4028235e38, -3.4028235e38], np.float32)}, tflite=True)


@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
@pytest.mark.parametrize("name", ["int32", "int16", "uint8"])
def test_bits(check, op, name):
    model = f"""<ir_version: 8, opset_import: ["": 18]>
        graph ({name}[N, M] a, {name}[N, M] b) => ({name}[N, M] y) {{ y = {op}(a, b) }}"""
    rng = np.random.default_rng(1)
    low, high = np.iinfo(name).min, np.iinfo(name).max
    a, b = (rng.integers(low, high, (1, 500), endpoint=True).astype(name) for _ in range(2))
    if name == "int32":
        a, b = np.concatenate([a, np.repeat(EDGES, 8, 1)], 1), np.concatenate([b, np.tile(EDGES, 8)], 1)
    check(model, {"a": a, "b": b}, tflite=name != "int16")


@pytest.mark.parametrize("name", ["int32", "int64", "uint8", "uint32"])
def test_bits_turned(check, name):
    model = f"""<ir_version: 8, opset_import: ["": 18]>
        graph ({name}[N] x) => ({name}[N] y) {{ y = BitwiseNot(x) }}"""
    check(model, {"x": np.array([0, 1, 7, np.iinfo(name).max], name)})


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
@pytest.mark.parametrize("name", ["float", "int32", "int64"])
def test_comparisons(check, op, name):
    model = f"""<ir_version: 8, opset_import: ["": 17]>
        graph ({name}[N, M] a, {name}[M] b) => (bool[N, M] y) {{ y = {op}(a, b) }}"""
    dtype = np.dtype("float32" if name == "float" else name)
    check(model, {"a": np.array([[1, 2, 3], [3, 2, 1]], dtype), "b": np.array([2, 2, 2], dtype)}, tflite=True)


def test_where_of_unequal_ranks(check):
    model = """<ir_version: 8, opset_import: ["": 17]>
        graph (bool[N, 1] c, float[M] a, float b) => (float[N, M] y) { y = Where(c, a, b) }"""
    c, a = np.array([[True], [False]]), np.array([1, 2, 3], np.float32)
    check(model, {"c": c, "a": a, "b": np.array(9, np.float32)}, tflite=True)
