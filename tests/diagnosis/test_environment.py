"""What is installed against the lock, without installing anything."""

import os
import sys

import pytest

from diagnosis.environment import libraries, lock, python, setup
from diagnosis.finding import State


def clashes(clone):
    return {found.name: found.detail for found in lock(clone.root) if found.state is State.FAILED}


def test_all_packages_as_locked(clone):
    clone.install(one="1.0", Two_A="2.0", other="9")
    [found] = lock(clone.root)
    assert (found.state, found.detail) == (State.OK, "2 packages as in requirements.lock")


@pytest.mark.parametrize("version", ["0.9", "1.1", "1.0.post1", "1.0+cpu"])
def test_another_version_clashes(clone, version):
    clone.install(one=version, two_a="2.0")
    [found] = lock(clone.root)
    assert found.state is State.FAILED
    assert (found.name, found.detail, found.remedy) == ("one", f"{version}, but 1.0 in requirements.lock", "make setup")


def test_a_missing_package_and_one_that_is_installed_by_half(clone):
    clone.install(two_a=None)
    assert clashes(clone) == {
        "one": "missing, but 1.0 in requirements.lock",
        "two-a": "missing, but 2.0 in requirements.lock",
    }


def test_the_first_of_two_installations_is_the_one_that_is_imported(clone):
    clone.install(two_a="2.0", one="1.0", ONE="0.5")
    assert clashes(clone) == {}


@pytest.mark.parametrize(
    ("marker", "is_wanted"),
    [
        ("python_full_version < '3.12' and (sys_platform == 'darwin' or sys_platform == 'linux')", True),
        ("python_full_version < '3.9'", False),
        ("sys_platform == 'amiga'", False),
    ],
)
def test_markers_decide_what_is_wanted_here(clone, marker, is_wanted):
    clone.lock(f"one==1.0 ; {marker} \\")
    clone.install()
    assert ("one" in clashes(clone)) == is_wanted


def test_without_packaging_the_lock_cannot_be_read_and_setup_is_the_remedy(clone, monkeypatch):
    for name in ("packaging", "packaging.markers"):
        monkeypatch.setitem(sys.modules, name, None)
    [found] = lock(clone.root)
    assert (found.state, found.remedy) == (State.FAILED, "make setup")
    assert "packaging" in found.detail


def test_torch_of_another_backend_needs_neither_its_suffix_nor_its_gpu_libraries(clone):
    clone.lock("one==1.0 \\", "torch==2.13.0 \\", "nvidia-cublas==13.1 \\")
    clone.lock("one==1.0 \\", path=".venv/requirements.lock")
    clone.stamp("cpu")
    clone.install(one="1.0", torch="2.13.0+cpu")
    assert clashes(clone) == {}
    clone.install(torch="2.12.0+cpu")
    assert set(clashes(clone)) == {"one", "torch"}
    (clone.root / ".venv/setup.cpu").unlink()
    clone.install(one="1.0", torch="2.13.0+cpu")
    assert set(clashes(clone)) == {"nvidia-cublas"}


def test_the_versions_of_what_is_asked_for(clone):
    clone.install(two_a="2.0", other="9")
    found = libraries(clone.root)
    assert (found.state, found.detail) == (State.OK, "Two_a 2.0")
    clone.install(other="9")
    found = libraries(clone.root)
    assert (found.state, found.detail, found.remedy) == (State.FAILED, "none", "make setup")


@pytest.mark.parametrize(
    ("wanted", "state"),
    [(">=3.11,<3.12", State.OK), (">=3.0", State.OK), (">=3.99", State.FAILED), (">=3.0,<3.11", State.FAILED)],
)
def test_python(clone, monkeypatch, wanted, state):
    monkeypatch.setattr(sys, "version_info", (3, 11, 7, "final", 0))
    clone.pyproject(f'requires-python = "{wanted}"', "dependencies = []")
    found = python(clone.root)
    assert found.state is state
    assert wanted in found.detail
    assert bool(found.remedy) == (state is State.FAILED)


def test_as_setup_left_it(clone):
    clone.stamp()
    clone.run_from_venv()
    found = setup(clone.root)
    assert (found.state, found.detail) == (State.OK, "torch as locked")


def test_the_backend_in_use(clone):
    clone.stamp("cpu")
    clone.run_from_venv()
    assert setup(clone.root).detail == "TORCH_BACKEND=cpu"


@pytest.mark.parametrize("newer", ["requirements.lock", "pyproject.toml", "scripts/setup"])
def test_older_than_what_it_is_made_from(clone, newer):
    clone.run_from_venv()
    stamp = clone.stamp().stat()
    os.utime(clone.root / newer, (stamp.st_atime, stamp.st_mtime + 10))
    found = setup(clone.root)
    assert (found.state, found.remedy) == (State.NOTE, "make setup")
    assert "older" in found.detail


def test_an_interrupted_setup(clone):
    clone.run_from_venv()
    found = setup(clone.root)
    assert (found.state, found.remedy) == (State.NOTE, "make setup")
    assert "interrupted" in found.detail


def test_another_environment_runs(clone):
    clone.stamp()
    found = setup(clone.root)
    assert found.state is State.NOTE
    assert sys.prefix in found.detail
