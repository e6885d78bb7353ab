"""An ONNX file of 100 MB through the command: how often a stage holds it in memory."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.long

WIDTH, LAYERS = 2048, 6


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Six dense layers of 2,048 units."""
    rng = np.random.default_rng(0)
    nodes, weights, tensor = [], [], "x"
    for i in range(LAYERS):
        weights += [
            numpy_helper.from_array(rng.normal(0, 0.02, (WIDTH, WIDTH)).astype(np.float32), f"w{i}"),
            numpy_helper.from_array(np.zeros(WIDTH, np.float32), f"b{i}"),
        ]
        nodes += [
            helper.make_node("Gemm", [tensor, f"w{i}", f"b{i}"], [f"g{i}"], name=f"dense{i}"),
            helper.make_node("Relu", [f"g{i}"], [f"r{i}"], name=f"relu{i}"),
        ]
        tensor = f"r{i}"
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("x", tensor)]
    graph = helper.make_graph(nodes, "large", border[:1], border[1:], weights)
    path: Path = tmp_path_factory.mktemp("large") / "large.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_outside_tensorflow_no_stage_holds_it_more_than_three_times(showdown, large, tmp_path):
    done = showdown("export", large, "--recipes", "float32", "--build-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    size = large.stat().st_size
    stages = json.loads((tmp_path / "report.json").read_text())["stages"]
    grown = {stage["name"]: (stage["memory_peak_bytes"] - stage["memory_before_bytes"]) / size for stage in stages}
    ours = {stage["name"] for stage in stages if stage["worker"] in {None, "litert"} and "tflite" not in stage["name"]}
    assert {"file.onnx", "spec", "load.onnx", "publish.onnx"} <= ours
    assert {name: times for name, times in grown.items() if name in ours and times > 3} == {}
    # The file, its weights as XNNPACK packs them, and once more while a new batch size makes it pack them again.
    assert grown["verify.tflite.float32.onnx"] < 4.5
    assert max(grown.values()) > 1  # that anything is measured
