"""Starts every framework and every runtime in a process of its own, and says in one line why one does not come up."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from diagnosis.finding import Finding, State
from diagnosis.load_runtime import PROBES
from pipeline.worker import PRELOADS
from pipeline.workers import environment

__all__ = ["started"]

_LONGEST_S = 300
"""Far more than an import takes from a cold disk."""

_REMEDY = "make setup; if it stays, remove .venv and `make setup` again"


def started(root: Path) -> Iterator[Finding]:
    """A finding for each worker of the chain and each runtime, as many at once as there are cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        workers = [pool.submit(_worker, root, framework) for framework in PRELOADS]
        runtimes = [pool.submit(_runtime, root, runtime) for runtime in PROBES]
        for future in (*workers, *runtimes):
            yield future.result()


def _worker(root: Path, framework: str) -> Finding:
    """What a worker of the chain imports before its first stage, in its environment."""
    began = time.perf_counter()
    _, error = _run(root, "-c", f"from pipeline.worker import preload; preload({framework!r})")
    if error:
        return Finding("worker", framework, State.FAILED, error, _REMEDY)
    return Finding("worker", framework, State.OK, f"starts in {time.perf_counter() - began:.1f} s")


def _runtime(root: Path, runtime: str) -> Finding:
    output, error = _run(root, "-m", "diagnosis.load_runtime", runtime)
    if error:
        return Finding("runtime", runtime, State.FAILED, error, _REMEDY)
    answer = json.loads(output.splitlines()[-1])
    if "absent" in answer:
        return Finding("runtime", runtime, State.ABSENT, answer["absent"])
    return Finding("runtime", runtime, State.OK, f"{answer['version']} loads a model and answers right")


def _run(root: Path, *program: str) -> tuple[str, str]:
    """What a Python program prints, or why it failed: the last line that it complained in."""
    try:
        done = subprocess.run(
            [sys.executable, *program],
            cwd=root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"does not come up within {_LONGEST_S} s"
    if done.returncode == 0:
        return done.stdout, ""
    last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "")
    if done.returncode < 0:
        return "", f"is ended by {signal.Signals(-done.returncode).name}" + (f": {last}" if last else "")
    return "", last or f"ends with exit status {done.returncode}"
