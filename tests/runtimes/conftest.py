"""Models for the runtimes, and fresh processes to run them in."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Ask = Callable[..., dict[str, Any]]


def _python(arguments: list[str], stdin: bytes = b"") -> bytes:
    """The output of a fresh Python that finds the packages of the project."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], input=stdin, capture_output=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stderr.decode(errors='replace')}"
    return done.stdout


@pytest.fixture(scope="session")
def python() -> Callable[[str], str]:
    """Runs a program's source in a fresh process and gives what it prints."""
    return lambda source: _python(["-W", "error", "-c", source]).decode()


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Loads and runs a model in a fresh process: see ask.py."""

    def asked(
        runtime: str,
        path: Path,
        *calls: dict[str, NDArray[Any]],
        signature: str = "serving_default",
        real: bool = False,
    ) -> dict[str, Any]:
        request = {"runtime": runtime, "path": path, "signature": signature, "calls": calls, "real": real}
        reply: dict[str, Any] = pickle.loads(_python([str(HERE / "ask.py")], pickle.dumps(request)))
        return reply

    return asked


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all models that TensorFlow makes: see make_models.py."""
    folder = tmp_path_factory.mktemp("models")
    _python([str(HERE / "make_models.py"), str(folder)])
    return folder


@pytest.fixture(scope="session")
def weights() -> dict[str, NDArray[np.float64]]:
    """The weights of the 2-2-1 sigmoid network."""
    values = json.loads((HERE / "weights.json").read_text(encoding="utf-8"))
    return {name: np.array(value) for name, value in values.items()}


@pytest.fixture(scope="session")
def network(weights: dict[str, NDArray[np.float64]]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The network by numpy alone, in float64: x [batch, 2] to y [batch, 1]."""

    def computed(x: NDArray[Any]) -> NDArray[Any]:
        hidden = 1 / (1 + np.exp(-(x @ weights["hidden_kernel"] + weights["hidden_bias"])))
        y: NDArray[Any] = 1 / (1 + np.exp(-(hidden @ weights["output_kernel"] + weights["output_bias"])))
        return y

    return computed


@pytest.fixture(params=[1, 7])
def x(request: pytest.FixtureRequest) -> NDArray[np.float32]:
    """Inputs of the network, one and several rows, different in both columns."""
    return np.random.default_rng(20).random((request.param, 2), np.float32)


@pytest.fixture
def halved(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a file and cuts the copy in half."""

    def cut(file: Path) -> Path:
        content = file.read_bytes()
        copy = tmp_path / file.name
        copy.write_bytes(content[: len(content) // 2])
        return copy

    return cut


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves a file with networks of torch in it unread where no slow test is wanted: reading it imports torch."""
    wants_no_slow = "not slow" in config.option.markexpr
    return True if wants_no_slow and collection_path.name == "test_torch_export.py" else None
