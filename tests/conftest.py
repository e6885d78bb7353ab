"""The command, copies of the tree, processes, and disks that are small, full or read-only."""

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Imports triton before a test imports TensorFlow: torch.export wants it, and crashes if TensorFlow came first."""
    if any(item.get_closest_marker("slow") for item in items):
        with contextlib.suppress(ImportError):  # torch without CUDA has none
            importlib.import_module("triton")


_DEADLINE_S = 120
"""How long a test waits for something that has to come; only a failing test waits that long."""


@pytest.fixture(scope="session")
def showdown() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs ``showdown`` with these arguments in a tree, and fails unless its exit status is the wanted one."""

    def run(*arguments: str | Path, root: Path = ROOT, status: int = 0) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "cli.main", *map(str, arguments)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"exit status {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def clone() -> Callable[[Path], Path]:
    """Copies what git tracks, and what it would track, into a new folder."""

    def copied(target: Path) -> Path:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in listed.split("\0"):
            if name and (ROOT / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target / name)
        return target

    return copied


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], Any]], Any]:
    """Waits until a condition is truthy, and gives what it is."""

    def waited(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + _DEADLINE_S
        while not (value := condition()):
            assert time.monotonic() < deadline, "what the test waited for did not come"
            time.sleep(0.005)
        return value

    return waited


@pytest.fixture(scope="session")
def alive() -> Callable[[Iterable[int]], list[str]]:
    """The processes in these process groups that still run, as ``ps`` shows them."""

    def found(groups: Iterable[int]) -> list[str]:
        table = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(maxsplit=2) for line in table.stdout.splitlines()]
        wanted = {str(group) for group in groups}
        return [" ".join(row) for row in rows if row[0] in wanted and not row[1].startswith("Z")]

    return found


@pytest.fixture(scope="session")
def workers_of() -> Callable[[int], dict[str, int]]:
    """The process id of each worker of a process, by framework."""

    def found(parent: int) -> dict[str, int]:
        table = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in table.stdout.splitlines()]
        return {row[-1]: int(row[0]) for row in rows if row[1] == str(parent) and row[-2] == "pipeline.worker"}

    return found


class Disk:
    """A file system in memory, mounted where only processes started through ``command`` see it."""

    def __init__(self, folder: Path, size: str) -> None:
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo mounted && exec cat'
        self.folder = folder
        self._keeper = subprocess.Popen(
            ["unshare", *as_root, "--mount", "sh", "-c", script, "-", size, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._keeper.stdout is not None
        self.is_mounted = self._keeper.stdout.readline() == b"mounted\n"

    @property
    def outside(self) -> Path:
        """The folder as the test itself can read it."""
        return Path(f"/proc/{self._keeper.pid}/root{self.folder}")

    def command(self, *command: str | Path) -> list[str]:
        """A command that sees the disk at ``folder``."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._keeper.pid), "--mount", *user, *map(str, command)]

    def make_read_only(self) -> None:
        subprocess.run(self.command("mount", "-o", "remount,ro", self.folder), check=True)

    def resize(self, size: str) -> None:
        subprocess.run(self.command("mount", "-o", f"remount,size={size}", self.folder), check=True)

    def unmount(self) -> None:
        self._keeper.communicate()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Makes a disk of a size such as ``64k``, or skips the test where nothing can be mounted."""
    made: list[Disk] = []

    def make(size: str) -> Disk:
        if not (shutil.which("unshare") and shutil.which("nsenter")):
            pytest.skip("mounting a small disk needs unshare and nsenter, which Linux has")
        folder = tmp_path / "disk"
        folder.mkdir()
        made.append(Disk(folder, size))
        if not made[-1].is_mounted:
            pytest.skip("mounting a small disk needs root or user namespaces, which are not allowed here")
        return made[-1]

    yield make
    for one in made:
        one.unmount()


@pytest.fixture
def obedient() -> list[str]:
    """Put before a command, it makes root obey the permissions of files as everybody does."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("run as root, which may write everywhere, and there is no setpriv to give that up")
    return ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"]
