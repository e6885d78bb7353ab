"""`showdown versions` on the artifacts of a release, and on what one export leaves."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASE = ROOT / "tests/golden/artifacts/0.1.0"
VERSION = "serving/or_gate_static_graph/1"
TFLITE = "tflite/or_gate_pytorch.int8.tflite"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A build folder with a version and a TFLite file."""
    return shutil.copytree(RELEASE, tmp_path / "build")


def rows(output: str) -> dict[str, str]:
    """Line by the path that it begins with."""
    return {line.split()[0]: line for line in output.splitlines()[1:]}


def test_a_row_for_each_version_and_file(showdown, release):
    done = showdown("versions", "--build-dir", release)
    assert done.returncode == 0
    assert done.stderr == ""
    table = rows(done.stdout)
    assert list(table) == [VERSION, TFLITE]
    made_from = json.loads((release / TFLITE).with_suffix(".json").read_text())["made_from"]
    for part in ("1,904", "20", "dynamo, onnx-tf", "1.0e-02", "tflite_runtime 2.14.0, ai_edge_litert 2.3.0"):
        assert part in table[TFLITE]
    for name, digest in made_from.items():
        assert f"{name} {digest[:8]}" in table[TFLITE]
        assert digest[:9] not in table[TFLITE]
    assert "onnx" not in table[VERSION]


def test_the_newest_version_is_marked(showdown, release):
    shutil.copytree(release / VERSION, release / "serving/or_gate_static_graph/10")
    shutil.copytree(release / VERSION, release / "serving/or_gate_static_graph/9")
    table = rows(showdown("versions", "--build-dir", release).stdout)
    assert [path for path, line in table.items() if "*" in line] == ["serving/or_gate_static_graph/10"]


def test_one_servable(showdown, release):
    done = showdown("versions", "or_gate_pytorch", "--build-dir", release)
    assert list(rows(done.stdout)) == [TFLITE]


def test_json(showdown, release):
    listed = json.loads(showdown("versions", "--json", "--build-dir", release).stdout)
    assert listed["leftovers"] == []
    assert [row["path"] for row in listed["artifacts"]] == [VERSION, TFLITE]
    assert all("problems" not in row for row in listed["artifacts"])
    assert listed["artifacts"][1]["verified_by"] == ["tflite_runtime 2.14.0", "ai_edge_litert 2.3.0"]


def test_check_of_what_is_whole(showdown, release):
    done = showdown("versions", "--check", "--build-dir", release)
    assert done.returncode == 0
    assert done.stderr == ""
    assert [line.split()[1:3] for line in rows(done.stdout).values()] == [["*", "ok"], ["ok", "1,904"]]


def test_check_names_what_is_damaged_missing_or_without_manifest(showdown, release):
    (release / VERSION / "saved_model.pb").write_bytes(b"damaged")
    (release / VERSION / "variables/variables.index").unlink()
    (release / TFLITE).unlink()
    shutil.copytree(release / VERSION / "assets.extra", release / "serving/or_gate_static_graph/2")
    done = showdown("versions", "--check", "--build-dir", release)
    assert done.returncode == 1
    *problems, last = done.stderr.splitlines()
    assert sorted(problems) == sorted(
        [
            (
                f"showdown: {release}/{VERSION}/saved_model.pb: has changed since it was published; "
                "remove it and run `make export`"
            ),
            f"showdown: {release}/{VERSION}/variables/variables.index: is missing; `make export` publishes it again",
            f"showdown: {release}/serving/or_gate_static_graph/2: has no manifest",
            f"showdown: {release}/{TFLITE}: is missing; `make export` publishes it again",
        ]
    )
    assert last == "showdown: error: 3 of 3 published artifacts are not as their manifests say"
    assert done.stdout.count(" damaged ") == 3


def test_check_as_json_is_json_and_fails(showdown, release):
    (release / TFLITE).write_bytes(b"damaged")
    done = showdown("versions", "--check", "--json", "--build-dir", release)
    assert done.returncode == 1
    whole, damaged = (row["problems"] for row in json.loads(done.stdout)["artifacts"])
    assert whole == []
    assert len(damaged) == 1
    assert damaged[0].startswith(f"{release}/{TFLITE}: has changed")


def test_without_check_a_version_without_manifest_is_listed_and_nothing_fails(showdown, release):
    (release / VERSION / "manifest.json").unlink()
    (release / TFLITE).write_bytes(b"damaged")
    done = showdown("versions", "--build-dir", release)
    assert done.returncode == 0
    table = rows(done.stdout)
    assert f"{release}/{VERSION}: has no manifest" in table[VERSION]
    assert "damaged" not in done.stdout


def test_leftovers_are_shown_and_are_no_damage(showdown, release):
    partial = release / "serving/or_gate_static_graph/.2.123.partial"
    removed = release / "serving/or_gate_static_graph/.1.removed"
    for folder in (partial, removed):
        folder.mkdir()
    done = showdown("versions", "--check", "--build-dir", release)
    assert done.returncode == 0
    for folder in (partial, removed):
        assert f"{folder}: left by a killed run" in done.stdout
    listed = json.loads(showdown("versions", "--json", "--build-dir", release).stdout)
    assert len(listed["artifacts"]) == 2
    assert sorted(listed["leftovers"]) == [
        "serving/or_gate_static_graph/.1.removed",
        "serving/or_gate_static_graph/.2.123.partial",
    ]


def test_an_unknown_servable_names_the_nearest(showdown, release):
    done = showdown("versions", "or_gate_pytorhc", "--build-dir", release)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"showdown: error: no servable 'or_gate_pytorhc' in {release}; did you mean 'or_gate_pytorch'?\n"
    )


def test_an_empty_build_folder(showdown, tmp_path):
    done = showdown("versions", "--build-dir", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Nothing is published in {tmp_path}/; `showdown export` does it\n"
    assert json.loads(showdown("versions", "--json", "--build-dir", tmp_path).stdout) == {
        "artifacts": [],
        "leftovers": [],
    }
    assert showdown("versions", "or_gate_keras", "--build-dir", tmp_path).returncode == 2


def test_nothing_but_the_standard_library_is_imported(release):
    program = (
        "import sys; from cli.main import main; "
        "status = main(['versions', '--check', '--build-dir', sys.argv[1]]); "
        "print(*{name.partition('.')[0] for name in sys.modules}); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, release], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert {"cli", "contract", "json"} <= imported
    assert imported & {"numpy", "rich", "tensorflow", "torch", "onnx", "packaging"} == set()


@pytest.mark.slow
def test_a_real_export_is_listed_whole(showdown, build):
    listed = json.loads(showdown("versions", "--check", "--json", "--build-dir", build).stdout)
    kinds = [row["version"] is None for row in listed["artifacts"]]
    assert (kinds.count(False), kinds.count(True)) == (3, 18)
    assert all(row["problems"] == [] and row["verified_by"] and row["seed"] == 0 for row in listed["artifacts"])


@pytest.mark.slow
def test_an_export_removes_what_a_killed_one_left(showdown, build):
    leftover = build / "tflite/.or_gate_keras.int8.tflite.123.partial"
    leftover.write_bytes(b"half")
    assert showdown("export", "--build-dir", build).returncode == 0
    assert not leftover.exists()
