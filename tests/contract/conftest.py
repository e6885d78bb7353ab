"""Fresh processes for the contract."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
def on_small_disk(python: Callable[..., str], disk: Callable[[str], Any]) -> Callable[..., str]:
    """Runs a program that sees a file system of 256 KiB, whose folder is its first argument."""
    small = disk("256k")
    return lambda source, *arguments: python(source, small.folder, *arguments, prefix=small.command())
