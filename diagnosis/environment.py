"""What is installed, held against requirements.lock and what `make setup` leaves. Nothing of it is imported."""

import importlib.metadata
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diagnosis.finding import Finding, State

__all__ = ["libraries", "lock", "python", "setup"]

_PART = "environment"
_SETUP = "make setup"
_PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?", re.MULTILINE)
_READ_BY_MAKE = ("requirements.lock", "pyproject.toml", "scripts/setup")


def python(root: Path) -> Finding:
    """Whether this Python is one that pyproject.toml allows."""
    wanted = _pyproject(root)["requires-python"]
    detail = f"{platform.python_version()} in {sys.prefix}, wanted {wanted}"
    bounds = re.findall(r"(>=|<)([0-9.]+)", wanted)  # no other kind stands there, and packaging may be missing
    is_allowed = all(_is_below(version) == (compared == "<") for compared, version in bounds)
    return Finding(_PART, "python", State.OK if is_allowed else State.FAILED, detail, "" if is_allowed else _SETUP)


def _is_below(version: str) -> bool:
    return sys.version_info[:3] < tuple(map(int, version.split(".")))


def setup(root: Path) -> Finding:
    """Whether .venv is as `make setup` left it, with which torch, and whether it is what runs here."""
    environment = root / ".venv"
    stamps = sorted(environment.glob("setup.*"))
    if not stamps:
        detail = ".venv is not set up, or its setup was interrupted"
        return Finding(_PART, "setup", State.NOTE, detail, _SETUP)
    backend = _backend(root)
    detail = f"TORCH_BACKEND={backend}" if backend != "locked" else "torch as locked"
    if any((root / name).stat().st_mtime > stamps[0].stat().st_mtime for name in _READ_BY_MAKE):
        return Finding(_PART, "setup", State.NOTE, f"{detail}; older than what it is made from", _SETUP)
    if Path(sys.prefix).resolve() != environment.resolve():
        return Finding(
            _PART, "setup", State.NOTE, f"{detail}; but {sys.prefix} runs here", "call .venv/bin/showdown instead"
        )
    return Finding(_PART, "setup", State.OK, detail)


def libraries(root: Path) -> Finding:
    """The versions of what pyproject.toml asks for."""
    names = [re.split(r"[^A-Za-z0-9_.-]", wanted, maxsplit=1)[0] for wanted in _pyproject(root)["dependencies"]]
    installed = _installed()
    found = [f"{name} {installed[_canonical(name)]}" for name in names if _canonical(name) in installed]
    return Finding(
        _PART, "libraries", State.OK if found else State.FAILED, ", ".join(found) or "none", "" if found else _SETUP
    )


def lock(root: Path) -> Iterator[Finding]:
    """Each package that is missing or has another version than in the lock; one finding where there is none."""
    try:
        from packaging.markers import Marker
    except ImportError as err:
        yield Finding(_PART, "lock", State.FAILED, f"the lock cannot be read: {err}", _SETUP)
        return
    installed = _installed()
    pins = [pin.groupdict() for pin in _PIN.finditer((root / "requirements.lock").read_text(encoding="utf-8"))]
    wanted = {pin["name"]: pin["version"] for pin in pins if not pin["marker"] or Marker(pin["marker"]).evaluate()}
    if _backend(root) != "locked":
        wanted = _with_other_torch(root, wanted)
    clashes = 0
    for name, version in wanted.items():
        found = installed.get(_canonical(name))
        # The torch of another backend has the same version with a suffix: 2.13.0+cpu.
        if found != version and not (name == "torch" and (found or "").partition("+")[0] == version):
            clashes += 1
            yield Finding(
                _PART, name, State.FAILED, f"{found or 'missing'}, but {version} in requirements.lock", _SETUP
            )
    if not clashes:
        yield Finding(_PART, "lock", State.OK, f"{len(wanted)} packages as in requirements.lock")


def _with_other_torch(root: Path, wanted: dict[str, str]) -> dict[str, str]:
    """What scripts/setup installs then: the lock that it left in .venv, and torch."""
    path = root / ".venv/requirements.lock"
    if not path.is_file():
        return wanted
    kept = {pin["name"] for pin in _PIN.finditer(path.read_text(encoding="utf-8"))} | {"torch"}
    return {name: version for name, version in wanted.items() if name in kept}


def _backend(root: Path) -> str:
    stamps = sorted((root / ".venv").glob("setup.*"))
    return stamps[0].name.removeprefix("setup.") if stamps else "locked"


def _pyproject(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _installed() -> dict[str, str]:
    """Version by canonical name; what half an installation left has no name and is not among them."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:
            found.setdefault(_canonical(name), version)  # the first on the path is the one that is imported
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
