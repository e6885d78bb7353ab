"""`showdown clean`."""

import shutil
import sys
from argparse import Namespace

from pipeline.engine import build_lock

__all__ = ["clean"]


def clean(options: Namespace) -> None:
    """Removes the cache and the logs, or the whole build folder."""
    build = options.build_dir
    if not build.exists():
        return
    with build_lock(build, lambda holder: print(f"waiting for process {holder}, which uses {build}", file=sys.stderr)):
        for folder in [build] if options.all else [build / "cache", build / "logs"]:
            shutil.rmtree(folder, ignore_errors=not folder.exists())
