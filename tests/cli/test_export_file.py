"""A model file through the whole chain, from the user's own folder: what is made, and what is not made again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from contract.files import sha256
from contract.golden import read_golden
from contract.store import read_manifest

pytestmark = pytest.mark.slow  # TensorFlow

ROOT = Path(__file__).parents[2]


def write(path: Path, seed: int) -> None:
    """Two inputs, one of integers; two outputs; a dynamic axis beside the batch."""
    rng = np.random.default_rng(seed)
    table, weight = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "token"], ["known"], name="look up"),
        helper.make_node("Mul", ["known", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weight"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [
            helper.make_tensor_value_info("token", TensorProto.INT64, ["batch", "time"]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, ["batch", 1, 1]),
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "time", 2]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "time", 2]),
        ],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The user's folder: the file, and calibration data."""
    folder: Path = tmp_path_factory.mktemp("home with a blank")
    write(folder / "my words.onnx", seed=0)
    rng = np.random.default_rng(0)
    np.savez(folder / "data.npz", token=rng.integers(0, 6, (30, 4)), scale=rng.uniform(0, 2, (30, 1, 1)))
    return folder


def command(home: Path, *arguments: str | Path, status: int = 0) -> "subprocess.CompletedProcess[str]":
    """Runs showdown in the user's folder."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


EXPORT = ("export", "my words.onnx", "--calibration", "data.npz", "--build-dir", "build")


@pytest.fixture(scope="module")
def report(home) -> dict[str, Any]:
    """The report of an export into a folder that is given relative to the user's."""
    command(home, *EXPORT)
    found: dict[str, Any] = json.loads((home / "build/report.json").read_text())
    return found


def test_every_file_is_verified_against_the_file_itself(report):
    verdicts = {row["name"]: {check["verdict"] for check in row["checks"]} for row in report["rows"]}
    assert verdicts.pop("my words.onnx") == {"reference"}
    assert verdicts.pop("my_words.int16x8.tflite") == {"refused"}  # no integers at the border
    assert verdicts == {
        name: {"verified"}
        for name in (
            *("my_words by showdown", "my_words"),
            *(f"my_words.{recipe}.tflite" for recipe in ("float32", "float16", "dynamic", "int8", "int8_float_io")),
        )
    }


def test_each_stage_is_there_with_its_time_and_its_memory(report):
    assert {stage["name"] for stage in report["stages"]} >= {"file.onnx", "spec", "load.onnx", "report"}
    for stage in report["stages"]:
        assert stage["ran"]
        assert stage["seconds"] >= 0
        assert stage["memory_peak_bytes"] >= stage["memory_before_bytes"] > 0


def test_the_published_files_answer_as_onnx_runtime_does(report, home):
    given = '{"token": [[5, 0, 2]], "scale": [[[0.5]]]}'
    files = ("my words.onnx", "build/serving/my_words/1", "build/tflite/my_words.float32.tflite")
    answers = [json.loads(command(home, "predict", file, "--input", given, "--json").stdout) for file in files]
    for answer in answers:
        np.testing.assert_allclose(answer["scores"], answers[0]["scores"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(answer["logits"], answers[0]["logits"], rtol=0, atol=1e-5)


def test_golden_vectors_are_rows_of_the_calibration_data(report, home):
    golden = read_golden(home / "build/golden/my_words.json")
    with np.load(home / "data.npz") as data:
        for i, vector in enumerate(golden.vectors):
            np.testing.assert_array_equal(vector.inputs["token"], data["token"][i : i + 1])


def test_the_manifest_tells_what_the_version_was_made_of(report, home):
    manifest = read_manifest(home / "build/serving/my_words/1/manifest.json")
    assert manifest.made_from["weights"] == manifest.made_from["onnx"] == sha256(home / "my words.onnx")
    assert manifest.opset == 17
    assert [hop["hop"] for hop in manifest.parity] == ["load", "to_tensorflow", "saved_model"]


def test_the_same_again_and_the_same_bytes_elsewhere_make_nothing(report, home, tmp_path):
    assert "Nothing to do" in command(home, *EXPORT).stdout
    for name in ("my words.onnx", "data.npz"):
        shutil.copy(home / name, tmp_path)
    # The report alone is written again: it names the path that was given.
    printed = command(tmp_path, *EXPORT[:-1], home / "build").stdout
    assert re.findall(r"^\[.*?\] (\S+)", printed, re.MULTILINE) == ["report"]
    assert [path.name for path in (home / "build/serving/my_words").iterdir()] == ["1"]


def test_other_bytes_are_the_next_version(report, home):
    write(home / "my words.onnx", seed=1)
    command(home, *EXPORT)
    assert sorted(path.name for path in (home / "build/serving/my_words").iterdir()) == ["1", "2"]
    verified = command(home, "verify", "my_words", "--build-dir", "build")
    assert "published artifacts are as their manifests say" in verified.stderr
    line = command(home, "evaluate", "my_words", "--build-dir", "build", status=2).stderr.splitlines()[-1]
    assert "my_words has no labelled data; write evaluation() in its data module" in line


def test_without_calibration_the_recipes_that_need_it_are_left_out(home):
    write(home / "bare.onnx", seed=2)
    done = command(home, "export", "bare.onnx", "--recipes", "float32,int8", "--build-dir", "bare")
    assert done.stderr == (
        "showdown: warning: the recipes int8 are left out: they need representative inputs to measure ranges on; give "
        "some with --calibration FILE.npz\n"
    )
    assert [path.name for path in (home / "bare/tflite").glob("*.tflite")] == ["bare.float32.tflite"]


def test_what_was_exported_by_a_relative_path_is_verified_from_another_folder(home, report, tmp_path):
    done = command(tmp_path, "verify", "my_words", "--build-dir", home / "build")
    assert "my words.onnx" in done.stdout
