"""Reductions: axes known and not, in each opset's form, without axes, and in TFLite."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

OPS = [
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"),
    *("ReduceLogSum", "ReduceLogSumExp"),
]
X = np.random.default_rng(3).uniform(0.5, 2, (2, 3, 4)).astype(np.float32)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("op", OPS)
def test_axes_in_an_attribute(check, op, keepdims):
    rank = "N, K, L" if keepdims else "N"
    model = f"""<ir_version: 8, opset_import: ["": 11]>
        graph (float[N, H, W] x) => (float[{rank}] y) {{ y = {op}<axes = [1, -1], keepdims = {keepdims}>(x) }}"""
    check(model, {"x": X}, {"x": X[:1, :2]}, tflite=True)


@pytest.mark.parametrize("op", OPS)
def test_axes_in_an_initializer(check, op):
    model = f"""<ir_version: 8, opset_import: ["": 18]>
        graph (float[N, H, W] x) => (float[N, W] y) <int64[1] axes = {{-2}}> {{ y = {op}<keepdims = 0>(x, axes) }}"""
    check(model, {"x": X}, tflite=True)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("noop", [0, 1])
def test_no_axes(check, op, noop):
    model = f"""<ir_version: 8, opset_import: ["": 18]>
        graph (float[N, H, W] x) => (float[A, B, C] y) {{ y = {op}<noop_with_empty_axes = {noop}>(x) }}"""
    check(model, {"x": X}, tflite=True)


@pytest.mark.parametrize("noop", [0, 1])
def test_number_of_axes_at_run_time(check, noop):
    model = f"""<ir_version: 8, opset_import: ["": 18]> graph (float[2, 3, 4] x, int64[K] axes) => (float[A, B, C] y)
        {{ y = ReduceSumSquare<noop_with_empty_axes = {noop}>(x, axes) }}"""
    check(model, *({"x": X, "axes": np.array(axes, np.int64)} for axes in ([], [0], [1, -1])))


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceSumSquare"])
@pytest.mark.parametrize("name", ["int32", "int64"])
def test_whole_numbers(check, op, name):
    model = f"""<ir_version: 8, opset_import: ["": 18]>
        graph ({name}[N, M] x) => ({name}[N] y) <int64[1] axes = {{1}}> {{ y = {op}<keepdims = 0>(x, axes) }}"""
    check(model, {"x": np.array([[3, -7, 5], [-1, 2, 9]], name)}, tflite=True)


def test_log_of_sums_of_infinities(check):
    model = """<ir_version: 8, opset_import: ["": 18]>
        graph (float[N, M] x) => (float[N] y) <int64[1] a = {1}> { y = ReduceLogSumExp<keepdims = 0>(x, a) }"""
    inf = np.inf
    x = np.array([[1, -inf, 2], [500, 501, 500], [inf, 1, 2], [-900, -901, -902]], np.float32)
    check(model, {"x": x}, tflite=True)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("name", ["float", "int32", "int64"])
def test_positions(check, op, last, name):
    model = f"""<ir_version: 8, opset_import: ["": 13]> graph ({name}[N, M] x) => (int64[N] y)
        {{ y = {op}<axis = -1, keepdims = 0, select_last_index = {last}>(x) }}"""
    dtype = np.float32 if name == "float" else name
    check(model, {"x": np.array([[1, 5, 5, 0, 0], [-3, -3, -9, -9, -3]], dtype)}, tflite=True)


@pytest.mark.parametrize("attributes", ["", "<exclusive = 1>", "<reverse = 1>", "<exclusive = 1, reverse = 1>"])
@pytest.mark.parametrize("name", ["float", "int32", "int64"])
def test_running_sums(check, attributes, name):
    model = f"""<ir_version: 8, opset_import: ["": 14]> graph ({name}[N, M] x) => ({name}[N, M] y)
        <int64 axis = {{-1}}> {{ y = CumSum{attributes}(x, axis) }}"""
    check(model, {"x": np.arange(8).reshape(2, 4).astype(np.float32 if name == "float" else name)}, tflite=True)
