"""Fresh processes for the contract."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def started() -> Callable[..., "subprocess.Popen[str]"]:
    """Starts a program's source in a fresh process that finds the packages of the project."""

    def start(source: str, *arguments: object, prefix: Sequence[str] = ()) -> "subprocess.Popen[str]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [*prefix, sys.executable, "-W", "error", "-c", source, *map(str, arguments)]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    return start


@pytest.fixture(scope="session")
def python(started: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., str]:
    """Runs a program's source in a fresh process and gives what it prints."""

    def run(source: str, *arguments: object, prefix: Sequence[str] = ()) -> str:
        with started(source, *arguments, prefix=prefix) as process:
            output, errors = process.communicate()
        assert process.returncode == 0, f"exit code {process.returncode}:\n{errors}"
        return output

    return run


@pytest.fixture
def on_small_disk(python: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Runs a program with a file system of 256 KiB of its own, whose folder is its first argument.

    Mounted in a namespace of the program: nobody else sees it, and nothing is left of it.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    mount = [*unshare, "sh", "-c", 'mount -t tmpfs -o size=256k none "$0" && exec "$@"', str(disk)]
    try:
        tried = subprocess.run([*mount, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a small disk needs `unshare`, which is not installed here")
    if tried.returncode:
        pytest.skip(f"a small disk needs a mount namespace, which is not allowed here: {tried.stderr.strip()}")
    return lambda source, *arguments: python(source, disk, *arguments, prefix=mount)
