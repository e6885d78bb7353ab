"""scripts/setup and its stamp, with a uv that only writes down what it is asked for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAKE_UV = f"""#!/bin/sh
echo "$*" >>"$UV_CALLS"
case $1 in
  venv) mkdir -p .venv/bin && touch .venv/pyvenv.cfg && ln -s '{sys.executable}' .venv/bin/python ;;
  pip) [ -z "${{UV_FAILS:-}}" ] ;;
esac
"""


class Clone:
    """A folder with what `make setup` reads, and the calls of uv that it made."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"  # with a blank, as some people's folders have
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, self.root)
        self._calls = folder / "calls"
        self._bin = folder / "bin"
        self._bin.mkdir()
        uv = self._bin / "uv"
        uv.write_text(FAKE_UV)
        uv.chmod(0o755)

    def setup(self, **environment: str) -> tuple[list[str], str]:
        """Runs `make setup`; gives uv's calls and what was printed."""
        self._calls.write_text("")
        inherited = {name: value for name, value in os.environ.items() if name not in {"TORCH_BACKEND", "MAKEFLAGS"}}
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["make", "--no-print-directory", "setup"],
            cwd=self.root,
            env=inherited | {"PATH": path, "UV_CALLS": str(self._calls)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return self._calls.read_text().splitlines(), done.stdout

    def outdate(self) -> None:
        """Makes the stamp older than the lock."""
        for stamp in self.stamps():
            os.utime(self.root / ".venv" / stamp, (0, 0))

    def stamps(self) -> list[str]:
        return sorted(path.name for path in (self.root / ".venv").glob("setup.*"))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_installs_the_lock_with_hashes_then_the_project(clone):
    calls, printed = clone.setup()
    *_, sync, project = calls
    assert sync.startswith("pip sync ")
    assert "--require-hashes" in sync
    assert sync.endswith(" requirements.lock")
    assert project.endswith("--no-deps --no-build-isolation --editable .")
    assert printed.splitlines()[-1] == "setup: done"
    assert clone.stamps() == ["setup.locked"]


def test_a_second_setup_does_nothing(clone):
    clone.setup()
    assert clone.setup()[0] == []


def test_a_newer_lock_is_synced_into_the_same_environment(clone):
    clone.setup()
    clone.outdate()
    calls, _ = clone.setup()
    assert any(call.startswith("pip sync") for call in calls)
    assert not any(call.startswith("venv") for call in calls)


def test_an_interrupted_setup_is_made_anew(clone):
    clone.setup()
    clone.outdate()
    clone.setup(UV_FAILS="1")
    assert clone.stamps() == []
    leftover = clone.root / ".venv/half-written"
    leftover.touch()
    calls, _ = clone.setup()
    assert any(call.startswith("venv") for call in calls)
    assert not leftover.exists()
    assert clone.stamps() == ["setup.locked"]


def test_an_environment_whose_python_is_gone_is_made_anew(clone):
    clone.setup()
    (clone.root / ".venv/bin/python").unlink()
    clone.outdate()
    calls, _ = clone.setup()
    assert any(call.startswith("venv") for call in calls)
    assert clone.stamps() == ["setup.locked"]


def test_torch_for_the_cpu_comes_alone_and_stays_until_another_is_asked_for(clone):
    clone.setup()
    calls, printed = clone.setup(TORCH_BACKEND="cpu")
    sync, torch = calls[-3:-1]
    assert sync.endswith(" .venv/requirements.lock")
    assert "--torch-backend cpu torch==" in torch
    assert "without a hash" in printed
    assert clone.stamps() == ["setup.cpu"]
    assert clone.setup()[0] == []

    calls, _ = clone.setup(TORCH_BACKEND="locked")
    assert not any("--torch-backend" in call for call in calls)
    assert clone.stamps() == ["setup.locked"]


def test_the_lock_without_torch_lacks_torch_and_its_gpu_libraries_only():
    def entries(text: str) -> dict[str, str]:
        return {entry.split("==")[0]: entry for entry in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]}

    whole = (ROOT / "requirements.lock").read_text()
    filtered = subprocess.run(
        [ROOT / "scripts/lock_without_torch"], input=whole, capture_output=True, text=True, check=True
    ).stdout
    left_out = entries(whole).keys() - entries(filtered).keys()
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-bindings"} <= left_out
    assert all(name in {"torch", "torchvision", "triton"} or name.startswith(("nvidia-", "cuda-")) for name in left_out)
    assert entries(filtered).items() <= entries(whole).items()


def without_uv(folder: Path, **commands: str) -> subprocess.CompletedProcess[str]:
    """Runs scripts/setup of a copy, with only the given commands on PATH."""
    shutil.copytree(ROOT / "scripts", folder / "clone/scripts")
    (folder / "bin").mkdir()
    for name, script in commands.items():
        command = folder / "bin" / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    return subprocess.run(
        [folder / "clone/scripts/setup"], env={"PATH": str(folder / "bin")}, capture_output=True, text=True, check=False
    )


def test_one_line_says_what_to_install_when_there_is_no_python(tmp_path):
    done = without_uv(tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "setup: install uv, or Python 3 with its venv module: neither uv nor python3 is on PATH"
    ]


def test_one_line_says_what_to_install_when_python_has_no_venv(tmp_path):
    done = without_uv(tmp_path, python3="echo ensurepip is not available; exit 1")
    assert done.returncode == 1
    assert done.stdout == ""
    *_, line = done.stderr.splitlines()
    assert "install uv, or python3-venv (apt-get install python3-venv)" in line
    assert not (tmp_path / "clone/.venv").exists()
