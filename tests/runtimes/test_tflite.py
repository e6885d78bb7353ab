"""tflite_runtime and ai_edge_litert on the same .tflite files."""

import importlib.util

import numpy as np
import pytest

from contract.errors import RuntimeRefusedError, SpecError
from contract.tensor_spec import TensorSpec
from runtimes.tflite_file import check_tflite

pytestmark = pytest.mark.slow  # TensorFlow makes the models

RUNTIMES = [
    pytest.param(
        "tflite_runtime",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("tflite_runtime") is None, reason="tflite_runtime has no wheel for this platform"
        ),
    ),
    "ai_edge_litert",
]


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    return request.param


def test_float_file(ask, runtime, models, network, x):
    reply = ask(runtime, models / "network.tflite", {"x": x})
    assert reply["runtime"] == runtime
    assert reply["inputs"] == (TensorSpec("x", "float32", ("axis0", 2)),)
    assert reply["outputs"] == (TensorSpec("y", "float32", ("axis1", 1)),)
    assert reply["quantization"] == {}
    # XNNPACK's sigmoid is an approximation of its own.
    np.testing.assert_allclose(reply["results"][0]["y"], network(x), atol=1e-5, rtol=0)


def test_batch_may_change_from_call_to_call(ask, runtime, models, network):
    batches = [np.full((size, 2), (0.2, 0.9), np.float32) for size in (3, 1, 8)]
    reply = ask(runtime, models / "network.tflite", *({"x": batch} for batch in batches))
    for batch, result in zip(batches, reply["results"], strict=True):
        np.testing.assert_allclose(result["y"], network(batch), atol=1e-5, rtol=0)


def test_int8_file_takes_real_numbers(ask, runtime, models, network, x):
    reply = ask(runtime, models / "network.int8.tflite", {"x": x}, real=True)
    assert reply["inputs"] == (TensorSpec("x", "int8", ("axis0", 2)),)
    given, got = reply["quantization"]["x"], reply["quantization"]["y"]
    assert (given.dtype, given.zero_point) == ("int8", -128)
    assert given.scale == pytest.approx(1 / 255)  # the corners of the unit square in 255 steps
    assert got.scale == 1 / 256  # LiteRT fixes the scale and zero point of LOGISTIC
    y = reply["results"][0]["y"]
    assert y.dtype == np.float32
    # Steps of 1/256 through two layers.
    np.testing.assert_allclose(y, network(x), atol=0.02, rtol=0)


def test_int8_file_takes_integers(ask, runtime, models, x):
    right, wrong = ask(runtime, models / "network.int8.tflite", {"x": np.zeros((7, 2), np.int8)}, {"x": x})["results"]
    assert right["y"].dtype == np.int8
    assert right["y"].shape == (7, 1)
    assert isinstance(wrong, SpecError)


def test_file_without_signatures_goes_by_tensor_names(ask, runtime, models):
    inputs = {"a": np.full((5, 3), 1.5, np.float32), "b": np.array(True)}
    reply = ask(runtime, models / "unsigned.tflite", inputs)
    assert reply["inputs"] == (TensorSpec("a", "float32", ("axis0", 3)), TensorSpec("b", "bool", ()))
    assert sorted(spec.dtype for spec in reply["outputs"]) == ["bool", "int64"]
    results = {value.dtype.name: value for value in reply["results"][0].values()}
    np.testing.assert_array_equal(results["int64"], np.ones((5, 3)))
    np.testing.assert_array_equal(results["bool"], False)


def test_strings_and_a_second_signature(ask, runtime, models):
    text = np.array([b"", b"\xff\x00\x01" * 20, b"a"], object)
    reply = ask(runtime, models / "signed.tflite", {"text": text}, signature="echo")
    assert reply["inputs"] == (TensorSpec("text", "object", ("axis0",)),)
    assert reply["results"][0]["same"].tolist() == text.tolist()


def test_unknown_signature(ask, runtime, models):
    error = ask(runtime, models / "signed.tflite")["error"]
    assert isinstance(error, SpecError)
    assert "there is no signature 'serving_default', only convert, echo" in str(error)


def test_wrong_inputs(ask, runtime, models, x):
    wrong = ({"z": x}, {"x": x.astype(np.float64)}, {"x": x[:, :1]})
    results = ask(runtime, models / "network.tflite", *wrong)["results"]
    assert all(isinstance(result, SpecError) for result in results)
    assert "the inputs are x; given: z" in str(results[0])
    assert "input x: wanted x float32[axis0, 2], given float64" in str(results[1])
    assert f"given float32[{len(x)}, 1]" in str(results[2])


def test_operator_version_that_the_runtime_has_not(ask, models):
    pytest.importorskip("tflite_runtime")
    error = ask("tflite_runtime", models / "wide.dynamic.tflite")["error"]
    assert isinstance(error, RuntimeRefusedError)
    assert "wide.dynamic.tflite: tflite_runtime refuses it: " in str(error)
    assert "FULLY_CONNECTED version 12" in str(error)
    assert "\n" not in str(error)


def test_today_s_runtime_has_it(ask, models):
    reply = ask("ai_edge_litert", models / "wide.dynamic.tflite", {"x": np.zeros((2, 64), np.float32)})
    assert reply["results"][0]["y"].shape == (2, 64)


@pytest.mark.parametrize("name", ["network.tflite", "wide.dynamic.tflite"])
def test_truncated(ask, runtime, models, halved, name):
    error = ask(runtime, halved(models / name))["error"]
    assert isinstance(error, RuntimeRefusedError)
    assert f"{name}: a damaged TFLite file: it has " in str(error)


@pytest.mark.parametrize("content", [b"", b"hello world\n"])
def test_not_a_model(ask, runtime, tmp_path, content):
    path = tmp_path / "text.tflite"
    path.write_bytes(content)
    error = ask(runtime, path)["error"]
    assert isinstance(error, RuntimeRefusedError)
    assert "text.tflite: not a TFLite file" in str(error)


@pytest.mark.parametrize("name", ["network.tflite", "network.int8.tflite", "signed.tflite", "unsigned.tflite"])
def test_every_truncation_is_found(models, tmp_path, name):
    content = (models / name).read_bytes()
    check_tflite(models / name)
    path = tmp_path / name
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(RuntimeRefusedError, match=name):
            check_tflite(path)


def test_closed_and_nothing_else_loaded(ask, runtime, models, x):
    reply = ask(runtime, models / "network.tflite", {"x": x})
    assert "closed" in str(reply["after close"])
    assert not {"tensorflow", "torch"} & set(reply["modules"])


def test_tflite_runtime_is_refused_beside_tensorflow(models, python):
    path = str(models / "network.tflite")
    source = f"""
import sys
from pathlib import Path
from types import ModuleType
import runtimes
from contract.errors import RuntimeRefusedError
sys.modules["tensorflow"] = ModuleType("tensorflow")
try:
    runtimes.load("tflite_runtime", Path({path!r}))
except RuntimeRefusedError as err:
    print(err)
"""
    assert python(source) == f"{path}: tflite_runtime fails in a process that has TensorFlow: use one of its own\n"


def test_tflite_runtime_fails_beside_tensorflow(models, python):
    """When this stops failing, the guard of tflite_runtime_interpreter.py can go."""
    pytest.importorskip("tflite_runtime")
    program = f"""
import tensorflow
from tflite_runtime.interpreter import Interpreter
Interpreter(model_path={str(models / "network.tflite")!r}).get_signature_list()
"""
    # By what lies in memory: ValueError, MemoryError or a signal.
    source = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {program!r}]).returncode)"
    assert int(python(source)) != 0
