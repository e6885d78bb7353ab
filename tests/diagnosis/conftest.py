"""A clone with a lock of its own, and packages that are installed there."""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest


class Clone:
    """A folder with what `showdown doctor` reads of a clone."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        (root / "scripts").mkdir()
        (root / "scripts/setup").touch()
        self.pyproject('requires-python = ">=3.11,<3.12"', 'dependencies = ["one==1.0", "Two_a>=2 ; x == \'y\'"]')
        self.lock("one==1.0 \\", "two-a==2.0 ; python_full_version < '3.12' \\")

    def pyproject(self, *lines: str) -> None:
        (self.root / "pyproject.toml").write_text("\n".join(["[project]", *lines]))

    def lock(self, *lines: str, path: str = "requirements.lock") -> None:
        hashed = "".join(f"{line}\n    --hash=sha256:{'0' * 64}\n    # via showdown\n" for line in lines)
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(f"# made by scripts/lock\n{hashed}")

    def stamp(self, backend: str = "locked") -> Path:
        path = self.root / ".venv" / f"setup.{backend}"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return path

    def install(self, **versions: str | None) -> None:
        """Makes these the installed packages; without a version, one that was installed by half."""
        found = [
            SimpleNamespace(metadata={"Name": name if version else None, "Version": version})
            for name, version in versions.items()
        ]
        self.distributions(found)

    def distributions(self, found: Iterable[SimpleNamespace]) -> None:
        listed = list(found)
        self._monkeypatch.setattr("importlib.metadata.distributions", lambda: iter(listed))

    def run_from_venv(self) -> None:
        self._monkeypatch.setattr(sys, "prefix", str(self.root / ".venv"))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    return Clone(tmp_path, monkeypatch)
