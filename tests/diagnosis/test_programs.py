"""Programs on a PATH of our own."""

import ctypes.util

import pytest

from diagnosis.finding import State
from diagnosis.programs import OPTIONAL, TOOLS, optional, tools


@pytest.fixture
def path(monkeypatch, tmp_path):
    """Puts programs on a PATH that has no others."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    (tmp_path / "bin").mkdir()

    def put(*names):
        for name in names:
            (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
            (tmp_path / "bin" / name).chmod(0o755)

    return put


def by_name(findings):
    return {found.name: found for found in findings}


def test_what_is_absent_says_what_it_adds_and_how_to_get_it(path, tmp_path):
    findings = [*tools(tmp_path), *optional()]
    assert {found.name for found in findings} == {program.names[0] for program in (*TOOLS, *OPTIONAL)} | {"libedgetpu"}
    assert all(found.state is State.ABSENT and found.detail and found.remedy for found in findings)
    assert all("\n" not in found.detail + found.remedy for found in findings)


def test_what_is_there_says_where(path, tmp_path):
    path("make", "docker")
    assert by_name(tools(tmp_path))["make"].detail == str(tmp_path / "bin/make")
    found = by_name(optional())
    assert (found["docker"].state, found["docker"].detail) == (State.OK, str(tmp_path / "bin/docker"))
    assert found["adb"].state is State.ABSENT


@pytest.mark.parametrize(("name", "other"), [("chromium", "google-chrome"), ("qemu-aarch64-static", "qemu-aarch64")])
def test_a_program_of_another_name_counts(path, name, other):
    path(other)
    assert by_name(optional())[name].detail.endswith(f"/{other}")


def test_a_uv_of_our_own_counts(path, tmp_path):
    (tmp_path / ".uv/bin").mkdir(parents=True)
    (tmp_path / ".uv/bin/uv").touch()
    assert by_name(tools(tmp_path))["uv"].detail == str(tmp_path / ".uv/bin/uv")


def test_a_library_is_looked_for_by_its_loader(path, monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"lib{name}.so.1")
    found = by_name(optional())["libedgetpu"]
    assert (found.state, found.detail) == (State.OK, "libedgetpu.so.1")
