"""Runs cases in several processes; a process that dies or hangs is replaced, and its case counted against it."""

import json
import queue
import select
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import IO

__all__ = ["Outcome", "run_cases"]

_SECONDS_A_CASE = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    Attributes:
        name: the case.
        status: ``passed``, ``wrong`` (another value, type or shape), ``refused`` (an error of ours that says why),
            ``error`` (another exception), ``crashed`` (the process died) or ``hung``.
        reason: in one line; empty for what passed.
    """

    name: str
    status: str
    reason: str


def run_cases(
    names: Iterable[str],
    *,
    converter: str,
    processes: int = 2,
    python: str = sys.executable,
    target: str = "saved_model",
    as_defined: Iterable[str] = (),
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Runs cases; the outcomes come in the order of the names.

    Args:
        names: of the cases.
        converter: by its name.
        processes: how many run side by side.
        python: the interpreter, of this environment or of another.
        target: ``saved_model`` or ``tflite``: which of the files is run; TFLite with its built-in operators alone.
        as_defined: operators of which not our function is used, but the definition that the installed onnx has.
        done: called after each case.
    """
    wanted = list(names)
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in wanted:
        waiting.put(name)
    outcomes: dict[str, Outcome] = {}
    lock = Lock()

    def note(outcome: Outcome) -> None:
        with lock:
            outcomes[outcome.name] = outcome
            done(outcome)

    command = [python, "-m", "benchmarks.onnx_conformance.worker", converter, target, *as_defined]
    with ThreadPoolExecutor(processes) as pool:
        for shard in [pool.submit(_run_shard, waiting, command, note) for _ in range(processes)]:
            shard.result()
    return [outcomes[name] for name in wanted]


def _run_shard(waiting: "queue.SimpleQueue[str]", command: list[str], note: Callable[[Outcome], None]) -> None:
    worker: subprocess.Popen[str] | None = None
    try:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            worker = worker or _start(command)
            outcome = _ask(worker, name)
            if outcome.status in ("crashed", "hung"):
                _end(worker)
                worker = None
            note(outcome)
    finally:
        if worker is not None:
            _end(worker)


def _start(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )


def _end(worker: "subprocess.Popen[str]") -> None:
    worker.kill()
    with suppress(BrokenPipeError):  # what it was asked may still be on its way
        worker.communicate()


def _ask(worker: "subprocess.Popen[str]", name: str) -> Outcome:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(name + "\n")
        worker.stdin.flush()
    except BrokenPipeError:
        return Outcome(name, "crashed", f"the process ended with status {worker.wait()}")
    if not _is_readable(worker.stdout):
        return Outcome(name, "hung", f"no answer in {_SECONDS_A_CASE:.0f} s")
    answer = worker.stdout.readline()
    if not answer:
        return Outcome(name, "crashed", f"the process ended with status {worker.wait()}")
    return Outcome(**json.loads(answer))


def _is_readable(stream: IO[str]) -> bool:
    return bool(select.select([stream], [], [], _SECONDS_A_CASE)[0])
