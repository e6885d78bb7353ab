"""A fake loader of fake servables, which does and notes what a test tells it."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SOON = 30
"""Seconds a test waits for what has to come; only a failing test waits that long."""


class FakeServable:
    """Nothing but its name; notes when it is closed."""

    def __init__(self, loader: "FakeLoader", key: tuple[str, int]) -> None:
        self.signatures: Mapping[str, Any] = {}
        self.is_closed = False
        self._loader = loader
        self._key = key

    def run(self, *_: object) -> list[Any]:
        return []

    def is_quick(self, *_: object) -> bool:
        return True

    def close(self) -> None:
        self.is_closed = True
        self._loader.events.append(("close", *self._key))


class FakeLoader:
    """Loads at once, unless a version is held or has errors."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, int]] = []
        self.errors: dict[tuple[str, int], list[BaseException]] = {}
        self.held: dict[tuple[str, int], threading.Event] = {}

    def __call__(self, name: str, version: int, path: Path) -> FakeServable:
        self.events.append(("load", name, version))
        if (name, version) in self.held:
            assert self.held[name, version].wait(SOON)
        if errors := self.errors.get((name, version)):
            raise errors.pop(0) if len(errors) > 1 else errors[0]
        return FakeServable(self, (name, version))

    def hold(self, name: str, version: int) -> threading.Event:
        """A version whose load waits for the event."""
        return self.held.setdefault((name, version), threading.Event())

    def loads(self, name: str, version: int) -> int:
        return self.events.count(("load", name, version))


@pytest.fixture
def fake() -> FakeLoader:
    return FakeLoader()


@pytest.fixture
def versions(tmp_path: Path) -> Any:
    """Makes version folders of a model and gives them by number."""

    def make(*numbers: int, name: str = "m") -> dict[int, Path]:
        for number in numbers:
            (tmp_path / name / str(number)).mkdir(parents=True, exist_ok=True)
        return {number: tmp_path / name / str(number) for number in numbers}

    return make
