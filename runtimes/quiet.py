"""Keeps TensorFlow's start quiet."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["keep_stderr", "quiet_start", "silent_stderr"]

_STDERR = 2


@contextmanager
def quiet_start() -> Iterator[None]:
    """Shuts stderr while TensorFlow's libraries load, unless the user has set TF_CPP_MIN_LOG_LEVEL.

    TensorFlow 2.21 looks at the variable only after its libraries have been initialized, and by then has written some
    lines on what the machine could do. So stderr of the whole process is shut, for threads beside this one too.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or sys.stderr is None:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with silent_stderr():
        yield


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Shuts stderr of the whole process, which libraries in C++ write to whatever Python's ``sys.stderr`` is."""
    saved = os.dup(_STDERR)
    try:
        with Path(os.devnull).open("w", encoding="ascii") as nowhere:
            os.dup2(nowhere.fileno(), _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)


def keep_stderr() -> None:
    """Gives Python's ``sys.stderr`` a descriptor of its own, which `quiet_start` in another thread does not shut."""
    if sys.stderr is not None:
        sys.stderr = os.fdopen(os.dup(_STDERR), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
