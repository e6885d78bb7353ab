"""The manifest of a published file is shown, with whether it is still true."""

import json
import shutil
from pathlib import Path

from inspection import inspect


def look_into(path):
    """Any: each test knows of which kind its files are."""
    return inspect(path)


GOLDEN = Path(__file__).parents[1] / "golden" / "artifacts" / "0.1.0"


def test_the_manifest_of_a_published_file():
    path = GOLDEN / "tflite" / "or_gate_pytorch.int8.tflite"
    found = look_into(path).manifest
    assert (found.file, found.sha256_holds, found.problem) == (str(path.with_suffix(".json")), True, None)
    assert (found.model, found.servable, found.opset) == ("or_gate", "or_gate_pytorch", 20)
    assert found.config["seed"] == 0
    assert found.libraries["tensorflow"] == "2.21.0"


def test_the_manifest_within_a_saved_model(small):
    found = look_into(small["saved_model"]).manifest
    assert (found.servable, found.sha256_holds) == ("or_gate_static_graph", True)
    with (small["saved_model"] / "variables" / "variables.data-00000-of-00001").open("r+b") as file:
        file.write(b"\0\0\0\x01")
    found = look_into(small["saved_model"]).manifest
    assert not found.sha256_holds
    assert "variables.data-00000-of-00001: has changed since it was published" in found.problem


def test_a_damaged_manifest_does_not_hide_the_file(small):
    (small["saved_model"] / "manifest.json").write_text("{")
    found = look_into(small["saved_model"])
    assert not found.manifest.sha256_holds
    assert "manifest.json: cannot be read" in found.manifest.problem
    assert found.content.nodes > 0


def test_another_json_beside_a_file_is_no_manifest(small):
    for text in ('{"a": 1}', "[1]", "{", "[" * 100_000):
        small["tflite"].with_suffix(".json").write_text(text)
        assert look_into(small["tflite"]).manifest is None


def test_a_manifest_of_another_file(small):
    source = GOLDEN / "tflite" / "or_gate_pytorch.int8.json"
    shutil.copy(source, small["tflite"].with_suffix(".json"))
    shutil.copy(source.with_suffix(".tflite"), small["tflite"].with_name(source.with_suffix(".tflite").name))
    found = look_into(small["tflite"]).manifest
    assert not found.sha256_holds
    assert found.problem.endswith("small.json: does not name small.tflite")
    values = json.loads(source.read_text()) | {"manifest_version": 99}
    small["tflite"].with_suffix(".json").write_text(json.dumps(values))
    assert "manifest_version is 99" in look_into(small["tflite"]).manifest.problem
