"""Small files of each kind, written by the libraries that own the formats where that needs no framework."""

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

GOLDEN = Path(__file__).parents[1] / "golden" / "artifacts" / "0.1.0"


def onnx_model(**changes: Any) -> onnx.ModelProto:
    """A model with a graph in each branch of an If, a function, an initializer of each way to store one."""
    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["z"])],
        "branch",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(3, np.float32), "inner")],
    )
    function = helper.make_function(
        "my", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 20)]
    )
    typed = helper.make_tensor("typed", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph(
        [
            helper.make_node("If", ["flag"], ["z"], then_branch=branch, else_branch=branch),
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Twice", ["h"], ["y"], domain="my"),
        ],
        "net",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 3]),
            helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(np.ones((2, 3), np.float32), "w"), typed, *changes.pop("initializers", [])],
    )
    model = helper.make_model(
        graph,
        ir_version=10,
        producer_name="by hand",
        producer_version="1.2",
        opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("my", 1)],
        functions=[function],
        **changes,
    )
    helper.set_model_props(model, {"purpose": "a test"})
    return model


def external(location: str, **entries: str) -> TensorProto:
    """An initializer of four floats, ``far``, whose values are in another file."""
    tensor = TensorProto(
        name="far", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.DataLocation.EXTERNAL
    )
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def safetensors_bytes(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A .safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def pt2_program(**changes: Any) -> dict[str, Any]:
    """The JSON of a program, in the form of torch 2.13: y = relu(a x) with a dynamic batch."""
    symbol = {"as_expr": {"expr_str": "Symbol('s77', positive=True, integer=True)", "hint": {"as_int": 3}}}
    twice = {"as_expr": {"expr_str": "Mul(Integer(2), Symbol('s77', positive=True, integer=True))"}}
    inner = {"nodes": [{"target": "torch.ops.aten.neg.default", "inputs": []}]}
    return {
        "graph_module": {
            "graph": {
                "nodes": [
                    {"target": "torch.ops.aten.linear.default", "inputs": [{"arg": {"as_tensor": {"name": "x"}}}]},
                    {"target": "torch.ops.aten.relu.default", "inputs": []},
                    {
                        "target": "torch.ops.higher_order.cond",
                        "inputs": [{"arg": {"as_graph": {"name": "g", "graph": inner}}}],
                    },
                ],
                "tensor_values": {
                    "x": {"dtype": 7, "sizes": [symbol, {"as_int": 2}]},
                    "y": {"dtype": 13, "sizes": [twice]},
                },
            },
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "p_a"}, "parameter_name": "a"}},
                    {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
                    {"user_input": {"arg": {"as_int": 4}}},
                ],
                "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}],
            },
        },
        "opset_version": {"aten": 10},
        "schema_version": {"major": 8, "minor": 20},
        "torch_version": "2.13.0",
        **changes,
    }


def write_pt2(
    path: Path, program: Any, *, extra: Mapping[str, bytes] | None = None, method: int = zipfile.ZIP_STORED
) -> Path:
    """An archive of torch.export with one program and one weight."""
    weights = {"config": {"a": {"tensor_meta": {"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 2}]}}, "b": {}}}
    entries = {
        "net/archive_format": b"pt2",
        "net/models/model.json": json.dumps(program).encode(),
        "net/data/weights/model_weights_config.json": json.dumps(weights).encode(),
        "net/data/weights/weight_0": bytes(16),
        **(extra or {}),
    }
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def write_small(folder: Path) -> dict[str, Path]:
    """One file of each kind."""
    files = {kind: folder / f"small.{kind}" for kind in ("onnx", "tflite", "safetensors", "pt2")}
    onnx.save(onnx_model(), files["onnx"])
    shutil.copy(GOLDEN / "tflite" / "or_gate_pytorch.int8.tflite", files["tflite"])
    tensors: dict[str, NDArray[Any]] = {
        "a": np.ones((2, 3), np.float32),
        "b": np.zeros(4, np.int8),
        "c": np.zeros(0, np.float64),
    }
    safetensors.numpy.save_file(tensors, files["safetensors"], {"made": "here"})
    write_pt2(files["pt2"], pt2_program())
    files["keras"] = folder / "small.keras"
    with zipfile.ZipFile(files["keras"], "w") as archive:
        layer = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "dense"}, "registered_name": None}
        config = {"name": "small", "layers": [layer]}
        archive.writestr("config.json", json.dumps({**layer, "class_name": "Sequential", "config": config}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    files["saved_model"] = folder / "small"
    shutil.copytree(GOLDEN / "serving" / "or_gate_static_graph" / "1", files["saved_model"])
    return files


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions of this file that make models."""
    made = (onnx_model, external, safetensors_bytes, pt2_program, write_pt2, write_small)
    return SimpleNamespace(**{function.__name__: function for function in made})


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Path]:
    return write_small(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Writes a file of this name."""

    def written(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return written
