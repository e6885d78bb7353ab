"""`showdown inspect`: what it prints, and that it loads no framework."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "artifacts" / "0.1.0"
TFLITE = GOLDEN / "tflite" / "or_gate_pytorch.int8.tflite"
SAVED_MODEL = GOLDEN / "serving" / "or_gate_static_graph" / "1"

LOADED = """
import json, sys
from cli.main import main
status = main(sys.argv[1:])
print(status, json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.fixture
def files(tmp_path):
    """A file of each kind."""
    safetensors.numpy.save_file(
        {f"layer.{i}": np.zeros(i + 1, np.float32) for i in range(30)}, tmp_path / "m.safetensors"
    )
    tensor = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "[bold]net[/bold]\x1b[2J",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [tensor],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    return [tmp_path / "m.safetensors", tmp_path / "m.onnx", TFLITE, SAVED_MODEL]


def test_no_framework_is_loaded(files):
    for file in files:
        done = subprocess.run(
            [sys.executable, "-c", LOADED, "inspect", file], cwd=ROOT, capture_output=True, text=True, check=True
        )
        status, modules = done.stderr.split(maxsplit=1)
        assert status == "0"
        assert not {"numpy", "onnx", "google", "torch", "tensorflow", "safetensors"} & set(json.loads(modules))


def test_json_is_the_whole_of_it(showdown, files):
    for file, kind in zip(files, ("safetensors", "onnx", "tflite", "saved_model"), strict=True):
        done = showdown("inspect", file, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        values = json.loads(done.stdout)
        assert (values["file"], values["kind"]) == (str(file), kind)


def test_tables_show_the_largest_and_say_what_is_left_out(showdown, files):
    printed = showdown("inspect", files[0]).stdout
    lines = [line.split() for line in printed.splitlines()]
    assert ["kind", "safetensors"] in lines
    assert ["layer.29", "float32", "[30]", "30", "120"] in lines
    assert "layer.9 " not in printed
    assert "... and 10 more, all with --json" in printed
    assert len(json.loads(showdown("inspect", files[0], "--json").stdout)["tensors"]) == 30


def test_a_keras_file(showdown, tmp_path):
    layer = {"module": "my.layers", "class_name": "Scale", "config": {"name": "s", "dtype": "float32"}}
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": [layer]}}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.15.1", "date_saved": "2026-01-02@03:04:05"}')
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", bytes(1234))
    lines = [line.split() for line in showdown("inspect", tmp_path / "m.keras").stdout.splitlines()]
    assert ["keras", "3.15.1"] in lines
    assert ["weight", "bytes", "1,234"] in lines
    assert ["needed", "modules", "[my.layers]"] in lines
    assert ["s", "Scale", "float32"] in lines


def test_names_are_no_markup_and_no_commands_of_the_terminal(showdown, files):
    printed = showdown("inspect", files[1]).stdout
    assert r"[bold]net[/bold]\x1b[2J" in printed
    assert "\x1b" not in printed


def test_a_published_file_shows_its_manifest(showdown):
    printed = showdown("inspect", TFLITE).stdout
    lines = [line.split() for line in printed.splitlines()]
    assert ["sha256", "holds", "yes"] in lines
    assert ["servable", "or_gate_pytorch"] in lines
    assert ["FULLY_CONNECTED", "4", "builtin", "2", "18"] in lines
    assert ["input", "x", "int8", "[?,", "2]", "serving_default", "0.00392157", "-128"] in lines


def test_a_changed_file_is_said_to_have_changed(showdown, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(SAVED_MODEL, folder)
    (folder / "assets.extra" / "tf_serving_warmup_requests").unlink()
    done = showdown("inspect", folder)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["sha256", "holds", "no"] in lines
    assert "tf_serving_warmup_requests: is missing" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        ("m.onnx", None, 2, "m.onnx: there is no such file"),
        ("m.onnx", b"", 1, "m.onnx: the file is empty"),
        ("m.onnx", b"\x08\x0a\x3a\xff", 1, "m.onnx: a damaged ONNX file: its model is not whole"),
        ("m.tflite", TFLITE.read_bytes()[:1000], 1, "m.tflite: a damaged TFLite file: it ends before its "),
        ("m.pt", b"\x80\x02.", 1, "m.pt: a pickle: reading it would run the code in it"),
        ("m.txt", b"hello", 1, "m.txt: of no kind that is known here"),
    ],
)
def test_bad_input_is_one_line(showdown, tmp_path, name, content, status, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = showdown("inspect", tmp_path / name)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(f"showdown: error: {tmp_path}")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unreadable_file_is_not_said_to_be_unwritable(showdown, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x0a")
    (tmp_path / "m.onnx").chmod(0)
    if os.access(tmp_path / "m.onnx", os.R_OK):
        pytest.skip("this user may read every file")
    done = showdown("inspect", tmp_path / "m.onnx")
    assert (done.returncode, done.stderr.count("cannot be read: Permission denied")) == (1, 1)
