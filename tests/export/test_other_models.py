"""The digits and parity through the whole chain: their accuracy in every runtime, and a length that stays dynamic."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.golden import read_golden
from models.parity_rnn.data import parity, random_bits

pytestmark = pytest.mark.slow  # trains and exports

RECIPES = ("float32", "float16", "dynamic", "int8", "int8_float_io", "int16x8")


def exported(model: str, showdown, folder: Path, *options: str) -> dict[str, Any]:
    showdown("export", model, "--build-dir", folder, *options)
    report: dict[str, Any] = json.loads((folder / "report" / f"{model}.json").read_text())
    return report


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / "build"
    return path


@pytest.fixture(scope="module")
def digits(build, showdown):
    return exported("digits", showdown, build)


@pytest.fixture(scope="module")
def parity_rnn(build, showdown):
    return exported("parity_rnn", showdown, build)


def test_97_of_100_digits_are_right_in_every_file_and_every_runtime(digits):
    shares = {
        (row["name"], check["runtime"]): check["accuracy"]["right"] / check["accuracy"]["of"]
        for row in digits["rows"]
        for check in row["checks"]
        if check["verdict"] != "absent"
    }
    files = {f"digits_{network}.{recipe}.tflite" for network in ("pytorch", "keras") for recipe in RECIPES}
    assert {name for name, _ in shares} == files | {
        *("torch network pytorch", "digits_pytorch.onnx", "digits_pytorch by showdown", "digits_pytorch"),
        *("keras network keras", "digits_keras"),
    }
    assert {where: share for where, share in shares.items() if share < 0.97} == {}
    assert {check["accuracy"]["of"] for row in digits["rows"] for check in row["checks"] if "accuracy" in check} == {
        360
    }


def test_each_network_of_the_digits_has_golden_vectors_of_its_own(digits, build):
    first, second = (read_golden(build / f"golden/digits_{name}.json").vectors for name in ("pytorch", "keras"))
    assert [vector.label for vector in first] == list(range(10))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.inputs["image"], other.inputs["image"])
        assert not np.array_equal(one.outputs["probabilities"], other.outputs["probabilities"])


def test_classify_names_the_digit(digits, build):
    import tensorflow as tf

    vectors = read_golden(build / "golden/digits_keras.json").vectors
    classify = tf.saved_model.load(build / "serving/digits_keras/1").signatures["classify"]
    for vector in vectors:
        feature = {"image": tf.train.Feature(float_list={"value": vector.inputs["image"].ravel()})}
        example = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
        found = {name: value.numpy()[0] for name, value in classify(inputs=tf.constant([example])).items()}
        assert found["classes"][np.argmax(found["scores"])] == str(vector.label).encode()


def test_parity_is_right_in_every_file_at_lengths_that_training_never_saw(parity_rnn):
    measured = [
        (row["name"], check["accuracy"])
        for row in parity_rnn["rows"]
        for check in row["checks"]
        if check["verdict"] in {"reference", "verified"}
    ]
    assert {name for name, _ in measured} == {
        *("torch network pytorch", "parity_rnn_pytorch.onnx", "parity_rnn_pytorch by showdown", "parity_rnn_pytorch"),
        *("keras network keras", "parity_rnn_keras"),
        *(f"parity_rnn_{network}.{recipe}.tflite" for network in ("pytorch", "keras") for recipe in RECIPES[:-1]),
    }
    # 50 of each of 16 lengths; training sees the first twelve.
    assert {name: accuracy for name, accuracy in measured if accuracy != {"right": 800, "of": 800}} == {}


def refusals(report):
    return {
        row["name"]: check["reason"]
        for row in report["rows"]
        for check in row["checks"]
        if check["verdict"] == "refused"
    }


def test_what_tflite_cannot_do_is_shown(parity_rnn):
    refused = refusals(parity_rnn)
    assert refused.keys() == {"parity_rnn_pytorch.int16x8.tflite", "parity_rnn_keras.int16x8.tflite"}
    assert all("calibration does not look into a While loop" in reason for reason in refused.values())


def test_what_another_converter_cannot_do_is_shown_with_operator_and_opset(tmp_path, showdown):
    refused = refusals(exported("parity_rnn", showdown, tmp_path / "build", "--converter", "onnx-tf"))
    assert refused.keys() == {"parity_rnn_pytorch by onnx-tf", "parity_rnn_keras.int16x8.tflite"}
    assert "GRU (ai.onnx, opset 18)" in refused["parity_rnn_pytorch by onnx-tf"]
    assert "linear_before_reset is not supported" in refused["parity_rnn_pytorch by onnx-tf"]


@pytest.mark.parametrize("length", [1, 33, 300])
@pytest.mark.parametrize(
    "file",
    [
        *("serving/parity_rnn_keras/1", "tflite/parity_rnn_keras.int8.tflite"),
        *("serving/parity_rnn_pytorch/1", "tflite/parity_rnn_pytorch.int8.tflite"),
    ],
)
def test_any_length_is_answered(parity_rnn, build, showdown, tmp_path, file, length):
    bits = random_bits(np.random.default_rng(length), 3, length)
    np.savez(tmp_path / "bits.npz", bits=bits)
    done = showdown("predict", build / file, "--input", tmp_path / "bits.npz", "--json")
    odd = np.array(json.loads(done.stdout)["odd"])[:, 0] > 0.5
    assert odd.tolist() == parity(bits)[:, -1].astype(bool).tolist()
