"""What an earlier release left can still be read, holds its digests, and gives the golden answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.golden import read_golden
from contract.store import check_files, read_manifest

HERE = Path(__file__).parent
RELEASES = sorted((HERE / "artifacts").iterdir())
MANIFESTS = sorted(path for path in (HERE / "artifacts").rglob("*.json") if path.parent.name != "golden")

# Runs one file on the golden inputs of its release in a process of its own and prints the largest difference.
REPLAY = """
import sys
from pathlib import Path
import numpy as np
import runtimes
from contract.golden import read_golden

golden, runtime, artifact = read_golden(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
with runtimes.load(runtime, artifact) as session:
    print(max(
        float(np.abs(runtimes.run_real(session, vector.inputs)[name] - wanted).max())
        for vector in golden.vectors
        for name, wanted in vector.outputs.items()
    ))
"""


def replay(runtime: str, artifact: Path, release: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", REPLAY, release / "golden" / "or_gate.json", runtime, artifact],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def test_there_is_an_artifact_of_every_release():
    changelog = (HERE.parents[1] / "CHANGELOG.md").read_text()
    assert RELEASES
    assert all(f"## [{release.name}]" in changelog for release in RELEASES)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.relative_to(HERE / "artifacts").as_posix())
def test_its_manifest_is_read_and_its_files_hold_their_digests(path):
    check_files(read_manifest(path), path.parent)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_its_golden_vectors_are_read(release):
    assert len(read_golden(release / "golden" / "or_gate.json").vectors) == 9


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_its_int8_tflite_gives_the_golden_answers(release):
    artifact = release / "tflite" / "or_gate_pytorch.int8.tflite"
    last = json.loads(artifact.with_suffix(".json").read_text())["parity"][-1]
    tolerance = last["checks"][0]["tolerance"]["atol"]
    assert replay("ai_edge_litert", artifact, release) <= tolerance


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_its_saved_model_gives_the_golden_answers(release):
    artifact = release / "serving" / "or_gate_static_graph" / "1"
    # The golden outputs come from the oracle, so it is the tolerance of training that counts.
    tolerance = json.loads((artifact / "manifest.json").read_text())["parity"][0]["checks"][0]["tolerance"]["atol"]
    assert replay("tensorflow_c", artifact, release) <= tolerance
