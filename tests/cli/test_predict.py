"""`showdown predict`: each format in its runtime, on inputs as a person gives them."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from contract.golden import read_golden
from serving.client import Client

GOLDEN = Path(__file__).parents[1] / "golden" / "artifacts" / "0.1.0"
TFLITE = GOLDEN / "tflite" / "or_gate_pytorch.int8.tflite"
SAVED_MODEL = GOLDEN / "serving" / "or_gate_static_graph" / "1"
VECTORS = read_golden(GOLDEN / "golden" / "or_gate.json").vectors


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory):
    """An .onnx file: y = a - b of float32 a, b of int64 that is cast."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["a", "c"], ["y"]),
        ],
        "net",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("b", TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    )
    path = tmp_path_factory.mktemp("two") / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("runtime", [None, "ai_edge_litert", "tflite_runtime"])
def test_a_quantized_file_answers_in_real_numbers(showdown, runtime):
    x = np.concatenate([vector.inputs["x"] for vector in VECTORS])
    y = np.concatenate([vector.outputs["y"] for vector in VECTORS])
    chosen = ["--runtime", runtime] if runtime else []
    done = showdown("predict", TFLITE, "--input", json.dumps({"x": x.tolist()}), "--json", *chosen)
    assert done.returncode == 0
    np.testing.assert_allclose(json.loads(done.stdout)["y"], y, atol=0.02)


def test_a_saved_model_answers_and_its_signature_can_be_chosen(showdown):
    rows = [[0, 0], [0, 1], [1, 0], [1, 1]]
    done = showdown("predict", SAVED_MODEL, "--input", json.dumps(rows), "--json")
    assert done.returncode == 0
    answers = [row[0] > 0.5 for row in json.loads(done.stdout)["y"]]
    assert answers == [False, True, True, True]
    done = showdown("predict", SAVED_MODEL, "--signature", "regress", "--input", '[{"b64": ""}]', "--json")
    assert done.returncode == 1
    assert "showdown: error: " in done.stderr


def test_an_npz_and_a_json_file(showdown, two_inputs, tmp_path):
    np.savez(tmp_path / "in.npz", a=np.array([1.5, 2.5]), b=np.array([1, 4], np.int8))
    (tmp_path / "in.json").write_text('{"b": [1, 4], "a": [1.5, 2.5]}')
    for name in ("in.npz", "in.json"):
        done = showdown("predict", two_inputs, "--input", tmp_path / name, "--json")
        assert (done.returncode, json.loads(done.stdout)) == (0, {"y": [0.5, -1.5]})


def test_the_table(showdown, two_inputs):
    done = showdown("predict", two_inputs, "--input", '{"a": [1.5, 2.5], "b": [1, 4]}')
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["output", "dtype", "shape", "values", "by", "onnxruntime"],
        ["y", "float32", "[2]", "[", "0.5,", "-1.5]"],
    ]


@pytest.mark.slow  # Keras and TensorFlow
def test_a_keras_file(showdown, tmp_path):
    keras = pytest.importorskip("keras")
    x = keras.Input((2,), name="x")
    path = tmp_path / "m.keras"
    keras.Model(x, keras.layers.Rescaling(2.0, 1.0, name="y")(x)).save(path)
    done = showdown("predict", path, "--input", "[[0, 1], [2, 3]]", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"y": [[1.0, 3.0], [5.0, 7.0]]}\n', "")
    done = showdown("predict", path, "--input", "[[0, 1, 2]]")
    assert (done.returncode, done.stdout) == (1, "")
    assert "input x: wanted x float32[batch, 2], given float32[1, 3]" in done.stderr
    done = showdown("predict", path, "--input", "[[0, 1]]", "--signature", "x")
    assert (done.returncode, "a Keras file has one graph and no signatures" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--input", '{"a": [1], "c": [1]}'], 1, "missing b; unknown c; the inputs are a float32[n], b int64[n]"),
        (["--input", "[1]"], 1, "a bare list is for a model with one input; the inputs are a float32[n], b int64[n]"),
        (["--input", '{"a": [1], "b": [0.5]}'], 1, "input b: wanted int64, given a number with a fraction"),
        (["--input", '{"a": [1, 2], "b": [1]}'], 1, "input b: wanted b int64[n] where n is 2, given int64[1]"),
        (["--input", '{"a": [[1]], "b": [1]}'], 1, "input a: wanted a float32[n], given float32[1, 1]"),
        (["--input", '{"a": [NaN], "b": [1]}'], 1, "input a: NaN at [0]; --allow-nan lets it pass"),
        (["--input", '{"a": [1,, "b": [1]}'], 1, "--input: no JSON: Expecting value at line 1, column 10"),
        (["--input", "absent.npz"], 2, "--input: absent.npz: there is no such file (JSON text begins with { or [)"),
        (["--input", "{}", "--signature", "x"], 2, "an ONNX file has one graph and no signatures"),
        (["--input", "{}", "--runtime", "tensorflow_c"], 2, "tensorflow_c does not run onnx files; choose onnxruntime"),
        (["--input", "{}", "--runtime", "nonsense"], 2, "nonsense does not run onnx files; choose onnxruntime"),
    ],
)
def test_bad_input_is_one_line(showdown, two_inputs, arguments, status, message):
    done = showdown("predict", two_inputs, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nan_passes_when_it_may(showdown, two_inputs):
    done = showdown("predict", two_inputs, "--input", '{"a": [NaN], "b": [1]}', "--allow-nan", "--json")
    assert (done.returncode, done.stdout) == (0, '{"y": [NaN]}\n')


def test_files_that_do_not_run(showdown, tmp_path):
    (tmp_path / "half.tflite").write_bytes(TFLITE.read_bytes()[:1000])
    (tmp_path / "m.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    for name, status, message in (
        ("half.tflite", 1, "half.tflite: a damaged TFLite file"),
        ("m.safetensors", 2, "no runtime here runs safetensors files; predict takes onnx, saved_model, tflite"),
        ("absent.onnx", 2, "absent.onnx: there is no such file"),
    ):
        done = showdown("predict", tmp_path / name, "--input", "[1]")
        assert (done.returncode, done.stdout) == (status, "")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_signature_that_is_not_there(showdown):
    done = showdown("predict", SAVED_MODEL, "--input", "[[0, 1]]", "--signature", "absent")
    assert done.returncode == 1
    assert "there is no signature 'absent', only classify, regress, serving_default" in done.stderr


# --- on a server


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "what shall run? give a FILE, or --server HOST:PORT --model NAME"),
        (["--model", "m", TFLITE], 2, "--model is for a model on a server: --server HOST:PORT"),
        (["--label", "a", TFLITE], 2, "--label is for a model on a server: --server HOST:PORT"),
        (["--server", "h:1"], 2, "--server: say which model: --model NAME"),
        (["--server", "h:1", "--model", "m", TFLITE], 2, ".tflite and --server: one of them says what runs"),
        (["--server", "h:1", "--model", "m", "--runtime", "keras"], 2, "--runtime is for a file"),
        (["--server", "h", "--model", "m"], 2, "target 'h': wanted host:port, grpc://host:port"),
        (["--server", "127.0.0.1:1", "--model", "m"], 1, "UNAVAILABLE: cannot reach 127.0.0.1:1: is it running?"),
        (["--server", "http://127.0.0.1:1", "--model", "m"], 1, "UNAVAILABLE: cannot reach http://127.0.0.1:1: is it"),
    ],
)
def test_a_server_that_is_not_there_or_not_named_well(showdown, arguments, status, message):
    done = showdown("predict", *arguments, "--input", "[1]")
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_version_and_a_label_exclude_each_other(showdown):
    done = showdown("predict", "--server", "h:1", "--model", "m", "--version", "1", "--label", "a", "--input", "[1]")
    assert (done.returncode, "not allowed with argument --version" in done.stderr) == (2, True)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The gRPC and REST addresses of the project's server with a golden model."""
    models = Path(__file__).parents[1] / "golden" / "tf_serving" / "models"
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    flags = (f"--port={ports[0]}", f"--rest_api_port={ports[1]}", "--model_name=shapes")
    start = (sys.executable, "-c", "import serving.model_server as it; it.main()")
    command = [*start, *flags, f"--model_base_path={models / 'shapes'}"]
    targets = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    with log.open("wb") as file, subprocess.Popen(command, cwd=GOLDEN.parents[3], stdout=file, stderr=file) as process:
        try:
            deadline = time.monotonic() + 60
            for target in targets:
                with Client(target) as client:
                    while not client.ready("shapes", timeout=1):
                        assert process.poll() is None, log.read_text()
                        assert time.monotonic() < deadline, log.read_text()
                        time.sleep(0.05)
            yield targets
        finally:
            process.kill()


@pytest.mark.slow  # starts a server
def test_a_model_on_a_server(showdown, server):
    both = '{"a": [1.5, 2.5], "b": [1, 4]}'
    for target in reversed(server):
        called = ("predict", "--server", target, "--model", "shapes")
        done = showdown(*called, "--input", both, "--json")
        assert (done.returncode, json.loads(done.stdout)) == (0, {"diff": [0.5, -1.5], "sum": [2.5, 6.5]})
        done = showdown(*called, "--version", "1", "--signature", "matrix", "--input", "[[1, 2]]")
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split() for line in done.stdout.splitlines()] == [
            ["output", "dtype", "shape", "values", "by", target],
            ["y", "float32", "[1,", "2]", "[[1.,", "2.]]"],
        ]
        for arguments, message in (
            (["--input", "[1]"], "a bare list is for a model with one input; the inputs are a float32[axis"),
            (["--input", '{"a": [1]}'], "missing b; the inputs are a float32[axis"),
            (["--input", '{"a": ["x"], "b": [1]}'], "input a: wanted float32, given a string"),
            (["--input", "[[NaN, 1]]", "--signature", "matrix"], "input x: NaN at [0, 0]; --allow-nan lets it pass"),
            (["--input", "[[1]]", "--signature", "matrix"], "signature matrix: input x: wanted x float32[axis"),
            (["--input", "[1]", "--signature", "absent"], "shapes: there is no signature 'absent', only defaults, "),
            (["--input", both, "--version", "9"], "NOT_FOUND: Servable not found for request: Specific(shapes, 9)"),
            (["--input", both, "--label", "x"], "INVALID_ARGUMENT: Unrecognized servable version label: x"),
        ):
            done = showdown(*called, *arguments)
            assert (done.returncode, done.stdout) == (1, "")
            assert message in done.stderr
            assert len(done.stderr.splitlines()) == 1
    done = showdown(*called, "--signature", "defaults", "--json", "--input", '{"a": [1, 2]}')
    assert (done.returncode, done.stdout) == (0, '{"sum": [11.0, 12.0]}\n')
