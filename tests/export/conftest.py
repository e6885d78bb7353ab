"""A real export that the tests of this folder share, and fresh processes to run its files in."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Answers = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, showdown: Callable[..., Any]) -> Path:
    """The build folder of `showdown export`; tests read it only."""
    build: Path = tmp_path_factory.mktemp("exported") / "build"
    showdown("export", "--build-dir", build)
    return build


@pytest.fixture(scope="session")
def answers() -> Answers:
    """Runs files in a fresh process: see answers.py."""

    def answered(
        runtime: str, files: Mapping[str, Path], x: list[list[float]], signature: str = "serving_default"
    ) -> dict[str, Any]:
        request = {
            "runtime": runtime,
            "files": {name: str(path) for name, path in files.items()},
            "x": x,
            "signature": signature,
        }
        done = subprocess.run(
            [sys.executable, HERE / "answers.py"],
            input=json.dumps(request),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        replied: dict[str, Any] = json.loads(done.stdout)
        return replied

    return answered
