"""Programs beside the environment: what each is for, and how to get it."""

import ctypes.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from diagnosis.finding import Finding, State

__all__ = ["OPTIONAL", "TOOLS", "Program", "optional", "tools"]


class Program(NamedTuple):
    """A program that may be there.

    Attributes:
        names: what it is called, the usual name first.
        adds: what it is good for here.
        source: how to get it.
    """

    names: tuple[str, ...]
    adds: str
    source: str


TOOLS = (
    Program(("make",), "the short commands: make setup, make export", "apt-get install make, xcode-select --install"),
    Program(("git",), "make lint, which checks the tracked files", "apt-get install git, xcode-select --install"),
    Program(("uv",), "make setup, which else installs one of its own into .uv/", "docs.astral.sh/uv"),
)

OPTIONAL = (
    Program(
        ("tensorflow_model_server",),
        "serving build/serving with the real TensorFlow Serving",
        "package tensorflow-model-server for Linux on x86_64, see tensorflow.org/tfx/serving/setup; else docker",
    ),
    Program(
        ("docker",),
        "TensorFlow Serving from its image tensorflow/serving",
        "Docker Engine or Docker Desktop, see docs.docker.com",
    ),
    Program(
        ("edgetpu_compiler",),
        "the int8 files compiled for the Edge TPU",
        "package edgetpu-compiler for Linux on x86_64, see coral.ai/docs/edgetpu/compiler",
    ),
    Program(
        ("adb",),
        "the TFLite files on an Android phone",
        "apt-get install adb, or platform-tools of the Android SDK",
    ),
    Program(
        ("javac",),
        "programs in Java and Android apps on the TFLite files",
        "a JDK, version 17 or newer: apt-get install openjdk-17-jdk-headless",
    ),
    Program(
        ("qemu-aarch64-static", "qemu-aarch64"),
        "programs for arm64 boards, run on x86_64",
        "apt-get install qemu-user-static",
    ),
    Program(
        ("chromium", "chromium-browser", "google-chrome"),
        "pages tried out in a real browser",
        "apt-get install chromium",
    ),
)

_LIBEDGETPU = Program(
    ("edgetpu",),
    "compiled files run on an Edge TPU that is plugged in",
    "package libedgetpu1-std for Linux, see coral.ai/docs/accelerator/get-started",
)


def tools(root: Path) -> Iterator[Finding]:
    """What `make` works with; the chain itself runs without."""
    for program in TOOLS:
        own = root / ".uv/bin" / program.names[0]
        yield _finding("tool", program, _which(program) or (str(own) if own.is_file() else None))


def optional() -> Iterator[Finding]:
    """What others have to offer, and what its absence costs."""
    for program in OPTIONAL:
        yield _finding("optional", program, _which(program))
    yield _finding("optional", _LIBEDGETPU._replace(names=("libedgetpu",)), ctypes.util.find_library("edgetpu"))


def _which(program: Program) -> str | None:
    return next((path for name in program.names if (path := shutil.which(name))), None)


def _finding(part: str, program: Program, found: str | None) -> Finding:
    name = program.names[0]
    return (
        Finding(part, name, State.OK, found)
        if found
        else Finding(part, name, State.ABSENT, program.adds, program.source)
    )
