"""`showdown verify` on a finished export."""

import re

import pytest

pytestmark = pytest.mark.slow

SAVED_MODEL = "serving/or_gate_keras/1/saved_model.pb"
VARIABLES = "serving/or_gate_pytorch/1/variables/variables.data-00000-of-00001"
TFLITE = "tflite/or_gate_static_graph.int8.tflite"


def test_a_finished_export_is_verified_by_running_every_verification_again(showdown, build):
    done = showdown("verify", "--build-dir", build)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^21 published artifacts are as their manifests say$", done.stderr, re.MULTILINE)
    logs = "".join((build / "logs" / name).read_text() for name in ("litert.log", "tensorflow_c.log"))
    ran = re.findall(r"^--- (\S+)", logs, re.MULTILINE)
    assert len(ran) == len(set(ran)) == 27
    assert all(stage.startswith("verify.") for stage in ran)
    assert not (build / "logs/torch.log").exists() or "--- " not in (build / "logs/torch.log").read_text()


@pytest.mark.parametrize("name", [SAVED_MODEL, VARIABLES, TFLITE])
def test_one_flipped_bit_in_a_published_file_is_found_and_the_file_named(showdown, build, name):
    content = bytearray((build / name).read_bytes())
    content[len(content) // 2] ^= 1
    (build / name).write_bytes(content)
    done = showdown("verify", "--build-dir", build)
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"showdown: error: {build / name}: has changed since it was published")


@pytest.mark.parametrize("name", [SAVED_MODEL, TFLITE])
def test_a_published_file_that_is_missing_is_named(showdown, build, name):
    (build / name).unlink()
    done = showdown("verify", "--build-dir", build)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"showdown: error: {build / name}: is missing")


def test_a_manifest_that_cannot_be_read_is_named(showdown, build):
    manifest = build / "serving/or_gate_keras/1/manifest.json"
    manifest.write_text(manifest.read_text()[:100])
    done = showdown("verify", "--build-dir", build)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"showdown: error: {manifest}: cannot be read")
