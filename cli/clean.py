"""`showdown clean`."""

import contextlib
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from pipeline.engine import build_lock

__all__ = ["clean"]

_MADE_AGAIN = ("cache", "logs")
_PUBLISHED = ("golden", "report", "serving", "tflite")


def clean(options: Namespace) -> None:
    """Removes the cache and the logs, or all that `showdown` ever writes into a build folder; nothing else in it."""
    build: Path = options.build_dir
    if not build.exists():
        return
    with build_lock(build, lambda holder: print(f"waiting for process {holder}, which uses {build}", file=sys.stderr)):
        for name in (*_MADE_AGAIN, *_PUBLISHED) if options.all else _MADE_AGAIN:
            if (build / name).exists():
                shutil.rmtree(build / name)
        if options.all:
            (build / ".lock").unlink()
            with contextlib.suppress(OSError):  # there is something of the user's in it: it stays
                build.rmdir()
