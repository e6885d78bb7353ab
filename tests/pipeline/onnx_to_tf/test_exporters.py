"""Files of other exporters than torch's, and what ONNX Runtime's optimizer makes of files."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

FILES = Path(__file__).resolve().parents[2] / "golden" / "onnx_files"

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)


def images(*shape):
    return {"image": RANDOM.random(shape, dtype=np.float32)}


def tokens(high, dtype, *shape):
    return {"tokens": RANDOM.integers(0, high, shape).astype(dtype)}


def steps(n, rows):
    return {"x": RANDOM.standard_normal((rows, 4), dtype=np.float32), "n": np.array(n, np.int32)}


CALLS = {
    "tf2onnx_conv": (images(2, 32, 32, 3), images(3, 48, 40, 3)),
    "tf2onnx_text": (tokens(30, np.int32, 2, 5), tokens(30, np.int32, 3, 9)),
    "tf2onnx_loop": (steps(3, 2), steps(0, 3), steps(11, 1)),
    "paddle_conv": (images(2, 3, 32, 32), images(3, 3, 48, 40)),
    "paddle_text": (tokens(20, np.int64, 2, 7), tokens(20, np.int64, 3, 7)),
}


def named(model, call):
    """The exporters add to the names of inputs."""
    names = [value.name for value in model.graph.input]
    return {next(name for name in names if name.split(":")[0] == key): value for key, value in call.items()}


@pytest.mark.parametrize("name", CALLS)
def test_file_of_another_exporter(check, name):
    model = onnx.load(FILES / f"{name}.onnx")
    check(model, *(named(model, call) for call in CALLS[name]), tflite=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
@pytest.mark.parametrize("name", ["tf2onnx_conv", "tf2onnx_text", "paddle_conv", "paddle_text"])
def test_file_that_onnx_runtime_has_optimized(check, tmp_path, name, level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(str(FILES / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
    model = onnx.load(tmp_path / "optimized.onnx")
    check(model, *(named(model, call) for call in CALLS[name]), rtol=1e-4, atol=1e-5)
