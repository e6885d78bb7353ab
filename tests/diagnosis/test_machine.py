"""Platforms and disks that this machine need not be or have."""

import platform
import shutil
import sys
from types import SimpleNamespace

import pytest

from diagnosis.finding import State
from diagnosis.machine import room, supported


@pytest.mark.parametrize(
    ("system", "machine", "macos", "state"),
    [
        ("linux", "x86_64", "", State.OK),
        ("linux", "aarch64", "", State.OK),
        ("darwin", "arm64", "14.0", State.OK),
        ("darwin", "arm64", "26.1", State.OK),
        ("darwin", "arm64", "13.7.1", State.NOTE),
        ("darwin", "x86_64", "14.0", State.NOTE),
        ("linux", "riscv64", "", State.NOTE),
        ("win32", "AMD64", "", State.NOTE),
    ],
)
def test_platforms(monkeypatch, system, machine, macos, state):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "mac_ver", lambda: (macos, ("", "", ""), machine))
    monkeypatch.setattr(platform, "platform", lambda: "this one")
    found = supported()
    assert found.state is state
    assert bool(found.remedy) == ("is not supported" in found.detail) == (state is State.NOTE)


@pytest.mark.parametrize(("free", "state"), [(99_999_999, State.FAILED), (100_000_000, State.OK)])
def test_room(monkeypatch, tmp_path, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    found = room(tmp_path / "not/yet/there")
    assert found.state is state
    assert found.detail == f"0.1 GB free for {tmp_path}/not/yet/there"
    assert not (tmp_path / "not").exists()


def test_a_build_folder_in_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    found = room(tmp_path / "file/build")
    assert (found.state, found.detail) == (State.FAILED, f"{tmp_path}/file/build cannot be written")


def test_a_folder_without_permission_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert room(tmp_path).state is State.FAILED
