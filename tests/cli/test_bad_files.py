"""Model files, data and options that cannot be right: one line with the file and the remedy, and nothing published."""

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "tests/golden/artifacts/0.1.0"

pytestmark = pytest.mark.slow  # some cases need a framework to be found out


def model(*nodes, shape=("batch", 4), weights=(), opset=18):
    """An ONNX model from x to y."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph(list(nodes) or [helper.make_node("Relu", ["x"], ["y"])], "graph", [x], [y], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def external(location: str):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], b"\0" * 16, raw=True)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return model(helper.make_node("Mul", ["x", "w"], ["y"]), weights=[weight])


def huge_initializer():
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[50_000, 50_000], raw_data=b"\0" * 16)
    return model(helper.make_node("Mul", ["x", "w"], ["y"]), weights=[weight])


def cycle():
    return model(
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Add", ["a", "x"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    )


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "[" + " " * 200_000_000 + "]")
        archive.writestr("model.weights.h5", b"")


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


@pytest.fixture
def refused(showdown, tmp_path):
    """Exports something that cannot be, into a folder that holds a file; gives the one line that is printed."""
    build = tmp_path / "build"
    (build / "serving").mkdir(parents=True)
    (build / "serving/mine.txt").write_text("was here before")

    def run(*arguments, status=1):
        done = showdown("export", *arguments, "--build-dir", build)
        assert done.returncode == status, done.stdout + done.stderr
        *others, line = done.stderr.splitlines()
        assert all(other.startswith("showdown: warning: ") for other in others), done.stderr
        assert line.startswith("showdown: error: ")
        assert "Traceback" not in done.stderr
        assert {path.name for path in build.iterdir()} <= {"serving", "cache", "logs", ".lock"}
        assert [path.name for path in (build / "serving").iterdir()] == ["mine.txt"]
        assert list(build.glob("cache/*/*/.*")) == []
        return line

    return run


ONNX = {
    "cut.onnx": (lambda: model().SerializeToString()[:-9], "cut.onnx: a damaged ONNX file"),
    "empty.onnx": (lambda: b"", "empty.onnx: the file is empty"),
    "text.onnx": (lambda: b"hello there, this is no model", "text.onnx"),
    "outside.onnx": (
        lambda: external("../secret").SerializeToString(),
        "'../secret' of 'w' lies outside the model's folder",
    ),
    "absolute.onnx": (lambda: external("/etc/passwd").SerializeToString(), "lies outside the model's folder"),
    "alone.onnx": (lambda: external("weights.bin").SerializeToString(), "its external data weights.bin is missing"),
    "huge.onnx": (lambda: huge_initializer().SerializeToString(), "10,000,000,000 bytes, but has 16"),
    "cycle.onnx": (lambda: cycle().SerializeToString(), "cycle"),
    "sparse.keras": (lambda: model().SerializeToString(), "its content is that of a .onnx file; give it that suffix"),
    "net.tflite": (
        lambda: (ARTIFACTS / "tflite/or_gate_pytorch.int8.tflite").read_bytes(),
        "a tflite file is no network to export",
    ),
    "net.pt": (lambda: pickle.dumps({"a": 1}), "a pickle: reading it would run the code in it"),
    "zip.keras": (lambda: b"PK\x03\x04 and then nothing", "zip.keras"),
    "zip.pt2": (lambda: b"PK\x03\x04 and then nothing", "zip.pt2"),
}


@pytest.mark.parametrize("name", ONNX)
def test_a_damaged_or_hostile_file(refused, tmp_path, name):
    content, message = ONNX[name]
    (tmp_path / name).write_bytes(content())
    line = refused(tmp_path / name, status=2 if name in {"alone.onnx", "sparse.keras", "net.tflite"} else 1)
    assert message in line
    assert name in line or name == "cycle.onnx"


def test_a_zip_bomb(refused, tmp_path):
    bomb(tmp_path / "bomb.keras")
    assert "bomb.keras" in refused(tmp_path / "bomb.keras")


def test_an_input_that_no_memory_holds(refused, tmp_path):
    onnx.save(model(shape=(100_000, 100_000)), tmp_path / "large.onnx")
    line = refused(tmp_path / "large.onnx", "--recipes", "float32")
    assert "this machine has not enough memory" in line
    assert "100000" in line


def test_an_operator_that_nobody_converts(refused, tmp_path):
    onnx.save(model(helper.make_node("Mish", ["x"], ["y"], name="a fish")), tmp_path / "mish.onnx")
    line = refused(tmp_path / "mish.onnx", "--converter", "onnx-tf")
    assert "Mish is not implemented (domain ai.onnx, opset 18, node 'a fish')" in line


def test_an_operator_of_onnx_runtime_that_our_converter_lacks(refused, tmp_path):
    hashed = model(helper.make_node("MurmurHash3", ["x"], ["y"], domain="com.microsoft", name="bucket"))
    hashed.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    hashed.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT32
    onnx.save(hashed, tmp_path / "hash.onnx")
    line = refused(tmp_path / "hash.onnx")
    assert "convert.showdown.onnx: MurmurHash3 (domain com.microsoft, opset 1, node 'bucket'): no function conv" in line
    assert "it is fed by 'x' float[batch,4]" in line


@pytest.mark.parametrize("name", ["../x", "a/b", "a.b", ".", "-x", "or_gate"])
def test_a_name_that_leads_elsewhere(refused, tmp_path, name):
    onnx.save(model(), tmp_path / "net.onnx")
    line = refused(tmp_path / "net.onnx", f"--name={name}", status=2)
    assert "--name" in line


CALIBRATION: dict[str, tuple[dict[str, Any], str]] = {
    "wrong name": ({"z": np.zeros((3, 4), np.float32)}, "the model has no input 'z'; did you mean"),
    "wrong shape": (
        {"x": np.zeros((3, 5), np.float32)},
        "the spec says x float32[batch, 4], but here it is float32[?, 5]",
    ),
    "wrong dtype": ({"x": np.zeros((3, 4), np.int64)}, "but here it is int64[?, 4]"),
    "NaN": ({"x": np.array([[0, 1, np.nan, 3]], np.float32)}, "x holds NaN or infinity at [0, 2]"),
    "no rows": ({"x": np.zeros((0, 4), np.float32)}, "x has no rows"),
    "objects": (
        {"x": np.array([{"a": 1}], object)},
        "no .npz file of calibration data: Object arrays cannot be loaded",
    ),
}


@pytest.mark.parametrize("case", CALIBRATION)
def test_calibration_data_that_does_not_fit(refused, tmp_path, case):
    arrays, message = CALIBRATION[case]
    onnx.save(model(), tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", **arrays)
    line = refused(tmp_path / "net.onnx", "--calibration", tmp_path / "data.npz")
    assert message.partition("; did")[0] in line
    assert "data.npz" in line or "calibration" in line


def test_calibration_data_that_is_no_zip_or_not_there(refused, tmp_path):
    onnx.save(model(), tmp_path / "net.onnx")
    (tmp_path / "data.npz").write_bytes(b"1,2,3")
    assert "no .npz file of calibration data" in refused(tmp_path / "net.onnx", "--calibration", tmp_path / "data.npz")
    line = refused(tmp_path / "net.onnx", "--calibration", tmp_path / "absent.npz", status=2)
    assert "absent.npz: there is no such file" in line


OPTIONS = {
    "axis": (["--axis", "batch=many"], "write NAME=SIZE,SIZE"),
    "tolerance": (["--tolerance", "tflite.int8=lots"], "write HOP=PART"),
    "hop": (["--tolerance", "tflite.int9=0.1"], "no hop 'tflite.int9'; did you mean 'tflite.int8'?"),
    "recipe": (["--recipes", "int9"], "no recipe 'int9'; did you mean 'int8'?"),
    "weights": (["--weights", __file__], "--weights, --input and --output are for module:factory"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_cannot_be(refused, tmp_path, case):
    options, message = OPTIONS[case]
    onnx.save(model(), tmp_path / "net.onnx")
    assert message in refused(tmp_path / "net.onnx", *options, status=2)


def test_an_axis_that_the_file_does_not_have(refused, tmp_path):
    onnx.save(model(), tmp_path / "net.onnx")
    assert "no input has an axis 'time', only ['batch']" in refused(tmp_path / "net.onnx", "--axis", "time=2,3")


NET = """
import torch
from torch import nn

def build():
    return nn.Linear(4, 2)

def wants(size):
    return nn.Linear(size, 2)

def text():
    return "no network"
"""

FACTORIES = {
    "module": (
        "absent_net:build",
        "x:float32[batch,4]",
        "no module 'absent_net'; run where it can be imported from",
        1,
    ),
    "function": (
        "my_net:biuld",
        "x:float32[batch,4]",
        "module my_net has no function 'biuld'; did you mean 'build'?",
        1,
    ),
    "arguments": ("my_net:wants", "x:float32[batch,4]", "my_net:wants is called without arguments, but: ", 1),
    "no network": ("my_net:text", "x:float32[batch,4]", "my_net:text gives str, not a torch.nn.Module", 1),
    "shape": ("my_net:build", "input:float32[batch,5]", "does not take the inputs that --input declares", 1),
    "input": ("my_net:build", "x", "'x' describes no input; write name:dtype[axis,...]", 2),
    "dtype": ("my_net:build", "x:flaot32[4]", "no dtype 'flaot32'; did you mean 'float32'?", 2),
}


@pytest.fixture
def my_net(tmp_path, monkeypatch):
    (tmp_path / "my_net.py").write_text(NET)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize("case", FACTORIES)
def test_a_factory_that_is_none(refused, my_net, case):
    factory, declared, message, status = FACTORIES[case]
    assert message in refused(factory, "--input", declared, status=status)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_are_hostile_or_cut(refused, my_net, tmp_path, suffix):
    canary, path = tmp_path / "canary", tmp_path / f"weights{suffix}"
    path.write_bytes(pickle.dumps(Hostile(canary)) if suffix == ".pt" else struct.pack("<Q", 10**10) + b"{}")
    line = refused("my_net:build", "--weights", path, "--input", "input:float32[batch,4]")
    assert path.name in line
    assert not canary.exists()


def test_weights_of_another_network_or_with_a_nan(refused, my_net, tmp_path):
    from safetensors.numpy import save_file

    bias, path = np.zeros(2, np.float32), tmp_path / "weights.safetensors"
    for weights, message in (
        ({"weight": np.zeros((2, 9), np.float32), "bias": bias}, "weight is [2, 9], the network has [2, 4]"),
        ({"weight": np.zeros((2, 4), np.float32)}, "its weights are not those of Linear: missing bias"),
        ({"weight": np.full((2, 4), np.nan, np.float32), "bias": bias}, "weight weight holds NaN or infinity"),
    ):
        save_file(weights, path)
        assert message in refused("my_net:build", "--weights", path, "--input", "input:float32[batch,4]")
