"""`kill -9` at any moment of an export: what is published is whole, and the next run repairs and finishes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.listing import all_leftovers, damages, published
from contract.store import MANIFEST_NAME, check_files, read_manifest, versions

ROOT = Path(__file__).parents[1]
SERVABLES = ("or_gate_keras", "or_gate_pytorch", "or_gate_static_graph")
ROUNDS = 50
FINISHED_EVERY = 5


def start(build: Path, seed: int, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "cli.main", "export", "--build-dir", str(build), "--seed", str(seed)]
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)


def finish(build: Path, seed: int, log: Path) -> float:
    """Runs an export to its end; gives the seconds that it took."""
    began = time.monotonic()
    with start(build, seed, log) as process:
        assert process.wait() == 0, log.read_text()
    return time.monotonic() - began


def check_serving(build: Path) -> None:
    """Whatever has a number is whole, and says truly what it is."""
    for servable in SERVABLES:
        for folder in versions(build / "serving" / servable).values():
            manifest = read_manifest(folder / MANIFEST_NAME)
            check_files(manifest, folder)
            assert manifest.servable == servable


def check_finished(build: Path, seed: int) -> None:
    """Everything is there, is of this seed, and nothing is left over."""
    found = published(build)
    assert [line for artifact in found for line in damages(artifact)] == []
    assert len([artifact for artifact in found if artifact.version is None]) == 18
    newest = [artifact for artifact in found if artifact.is_newest]
    assert {artifact.servable for artifact in newest} == set(SERVABLES)
    assert {artifact.manifest.config["seed"] for artifact in newest if artifact.manifest} == {seed}
    assert json.loads((build / "report/or_gate.json").read_text())["config"]["seed"] == seed
    assert json.loads((build / "golden/or_gate_pytorch.json").read_text())["seed"] == seed
    assert all_leftovers(build) == []
    assert list(build.glob("cache/*/*/.*")) == []


@pytest.mark.slow
def test_a_run_that_is_killed_after_its_first_publish_hides_nothing_of_the_one_before(tmp_path, until):
    build, log = tmp_path / "build", tmp_path / "log"
    finish(build, 0, log)
    with start(build, 1, log) as process:
        until(lambda: list(build.glob("serving/*/2")))
        os.killpg(process.pid, signal.SIGKILL)
    check_serving(build)
    finish(build, 0, log)
    check_finished(build, 0)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("whole_group", [True, False], ids=["process group", "showdown alone"])
def test_kill(tmp_path, whole_group):
    rng = random.Random(f"kill {whole_group}")
    build, log = tmp_path / "build", tmp_path / "log"
    finish(build, 1, log)
    duration = finish(build, 0, log)  # the first one also reads everything from a cold disk
    check_finished(build, 0)
    for number in range(1, ROUNDS // 2 + 1):
        # Every third run is of a seed that ran before: what a killed one replaced has to come back.
        seed = 0 if number % 3 == 0 else number
        with start(build, seed, log) as process:
            time.sleep(rng.uniform(0, duration))
            if process.poll() is None:
                kill = os.killpg if whole_group else os.kill
                kill(process.pid, signal.SIGKILL)
        check_serving(build)
        if number % FINISHED_EVERY == 0:
            # Mostly of the seed that was finished before: what is in the cache must not hide what was replaced since.
            wanted = seed if number == 2 * FINISHED_EVERY else 0
            finish(build, wanted, log)
            check_finished(build, wanted)
    finish(build, 0, log)
    check_finished(build, 0)
