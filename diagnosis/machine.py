"""The machine itself: platform, and room in the build folder."""

import os
import platform
import shutil
import sys
from pathlib import Path

from diagnosis.finding import Finding, State

__all__ = ["room", "supported"]

_PART = "machine"
_PLATFORMS = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")}
_OLDEST_MACOS = 14
_LEAST_FREE_BYTES = 100_000_000
"""An export of the OR network takes 3 MB, its copies while it runs a few times that."""


def supported() -> Finding:
    """Whether every library of the lock exists for this platform."""
    detail = platform.platform()
    macos = platform.mac_ver()[0]
    is_old = bool(macos) and int(macos.partition(".")[0]) < _OLDEST_MACOS
    if (sys.platform, platform.machine()) in _PLATFORMS and not is_old:
        return Finding(_PART, "platform", State.OK, detail)
    return Finding(
        _PART,
        "platform",
        State.NOTE,
        f"{detail} is not supported: libraries of the lock may not exist for it",
        f"use Linux on x86_64 or aarch64, or macOS {_OLDEST_MACOS} or newer on arm64",
    )


def room(build: Path) -> Finding:
    """Whether the build folder can be written, and how much fits into it."""
    folder = next(path for path in (build.absolute(), *build.absolute().parents) if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            _PART, "build folder", State.FAILED, f"{build} cannot be written", "choose another folder with --build-dir"
        )
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free for {build}"
    if free < _LEAST_FREE_BYTES:
        return Finding(_PART, "build folder", State.FAILED, detail, f"free {_LEAST_FREE_BYTES / 1e6:.0f} MB")
    return Finding(_PART, "build folder", State.OK, detail)
