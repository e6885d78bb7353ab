"""The worker processes, seen from `showdown`: started, asked, and ended as process groups."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.source import ROOT

__all__ = ["Answer", "Worker", "environment"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from a worker; ``message`` is None when the worker has ended."""

    worker: str
    message: Mapping[str, Any] | None


class Worker:
    """One worker process. Its answers arrive in the queue that it was given."""

    def __init__(self, framework: str, log: Path, answers: "queue.SimpleQueue[Answer]") -> None:
        self.framework = framework
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.worker", framework],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                # A Ctrl-C reaches this process alone, which then ends each worker with all its children.
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, args=(answers,), daemon=True)
        self._listener.start()

    def _listen(self, answers: "queue.SimpleQueue[Answer]") -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):  # else the worker died while it wrote
                    answers.put(Answer(self.framework, json.loads(line)))
        answers.put(Answer(self.framework, None))

    def ask(self, request: Sequence[Mapping[str, Any]]) -> None:
        """Sends a request; a worker that has ended shows as an `Answer` without a message."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def kill(self) -> None:
        """Ends the worker and all that it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def death(self) -> str:
        """How an ended worker ended, and the last lines of its log."""
        status = self._process.wait()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = " | ".join(line.strip() for line in lines[-3:])
        return f"the {self.framework} worker {how}; last words in {self.log}: {tail or '(none)'}"


def environment() -> dict[str, str]:
    """The environment variables of a worker."""
    return {
        "CUDA_VISIBLE_DEVICES": "-1",  # looking for a GPU costs seconds; who wants one says so by this variable
        "TF_CPP_MIN_LOG_LEVEL": "1",
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONHASHSEED": "0",  # the order of sets decides bytes in some converters
        "PYTHONUNBUFFERED": "1",
    }
