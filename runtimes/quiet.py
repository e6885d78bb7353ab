"""Keeps TensorFlow's start quiet."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["quiet_start"]

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
    saved = os.dup(_STDERR)
    try:
        with Path(os.devnull).open("w", encoding="ascii") as nowhere:
            os.dup2(nowhere.fileno(), _STDERR)
        yield
    finally:
        os.dup2(saved, _STDERR)
        os.close(saved)
