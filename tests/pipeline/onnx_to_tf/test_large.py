"""A model over 2 GB, which no protobuf message can hold."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytestmark = pytest.mark.long

ROWS, WIDTH = 300_000, 1024


def weight(name: str, offset: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[ROWS, WIDTH], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "w.bin", "offset": offset, "length": ROWS * WIDTH * 4}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Two tables of 1.2 GB each; the file has holes, and takes little of the disk."""
    rng = np.random.default_rng(0)
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(2 * ROWS * WIDTH * 4)
        for start in (0, ROWS * WIDTH * 4):
            file.seek(start)
            file.write(rng.normal(size=2 * WIDTH).astype(np.float32).tobytes())
    nodes = [
        helper.make_node("Gather", ["first", "row"], ["a"]),
        helper.make_node("Gather", ["second", "row"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("row", TensorProto.INT64, ["n"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", WIDTH])]
    weights = [weight("first", 0), weight("second", ROWS * WIDTH * 4)]
    graph = helper.make_graph(nodes, "large", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(tmp_path / "m.onnx"))
    return tmp_path / "m.onnx"


def test_a_model_over_two_gigabytes_is_converted(large, tmp_path):
    from pipeline.onnx_to_tf import convert

    done = convert(large, tmp_path / "net")
    assert done.verification.values == (1 + 7) * WIDTH
    assert done.verification.max_abs_diff == 0
