"""The command in a process of its own, and a finished export to share."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from contract.store import MANIFEST_NAME, check_files, read_manifest, versions

ROOT = Path(__file__).parents[2]

Finished = subprocess.CompletedProcess[str]
Started = subprocess.Popen[str]


def _command(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "cli.main", *map(str, arguments)]


def _environment() -> dict[str, str]:
    decides_colours = {"COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    return {name: value for name, value in os.environ.items() if name not in decides_colours} | {"TERM": "xterm"}


@pytest.fixture(scope="session")
def showdown() -> Callable[..., Finished]:
    """Runs `showdown` to its end; ``around`` is a command in which it runs."""

    def ran(*arguments: str | Path, around: Callable[..., list[str]] = lambda *command: list(command)) -> Finished:
        command = around(*_command(arguments))
        return subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)

    return ran


@pytest.fixture(scope="session")
def start() -> Callable[..., Started]:
    """Starts `showdown`, as a shell does: an interrupt reaches it, whatever ignores interrupts around this test."""

    def started(*arguments: str | Path) -> Started:
        return subprocess.Popen(
            _command(arguments),
            cwd=ROOT,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return started


class Export:
    """A finished export: its build folder and what was printed."""

    def __init__(self, build: Path, done: Finished) -> None:
        self.build = build
        self.output = done.stdout
        self.done = done


@pytest.fixture(scope="session")
def exported(showdown: Callable[..., Finished], tmp_path_factory: pytest.TempPathFactory) -> Export:
    """An export of the OR network, which no test may change: see ``build``."""
    build = tmp_path_factory.mktemp("exported") / "build"
    done = showdown("export", "--build-dir", build)
    assert done.returncode == 0, done.stderr
    return Export(build, done)


@pytest.fixture
def build(exported: Export, tmp_path: Path) -> Path:
    """A copy of the exported build folder."""
    return shutil.copytree(exported.build, tmp_path / "build")


@pytest.fixture(scope="session")
def check_published() -> Callable[[Path], dict[str, list[int]]]:
    """Holds everything published against its manifest, and gives the versions of each servable."""

    def checked(build: Path) -> dict[str, list[int]]:
        hidden = [path for folder in ("serving", "tflite") for path in (build / folder).rglob(".*")]
        assert hidden == [], "something half-written was left"
        servables = {folder.name: versions(folder) for folder in (build / "serving").iterdir() if folder.is_dir()}
        folders = [folder for numbers in servables.values() for folder in numbers.values()]
        manifests = [*(folder / MANIFEST_NAME for folder in folders), *(build / "tflite").glob("*.json")]
        for manifest in manifests:
            check_files(read_manifest(manifest), manifest.parent)
        return {name: list(numbers) for name, numbers in servables.items()}

    return checked
