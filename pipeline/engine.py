"""Runs a list of stages: each when its predecessors are done, in its framework's worker, unless nothing changed."""

import fcntl
import math
import os
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Protocol, TextIO

from contract.errors import Code, ShowdownError, StageError, StorageError
from contract.files import storage_errors
from pipeline.cache import Cache, Entry
from pipeline.memory import Memory, measured
from pipeline.stage import Result, Stage
from pipeline.worker import CAN_FORK, call_stage
from pipeline.workers import Answer, Worker

__all__ = ["Observer", "build_lock", "run"]


_AT_ONCE = (os.cpu_count() or 1) + 1 if CAN_FORK else 1
"""Requests that a worker works on side by side; one more than there are cores, so that long ones hold up nothing."""


class Observer(Protocol):
    """Is told what happens, in the thread that called `run`."""

    def planned(self, stages: Sequence[Stage]) -> None:
        """These stages are not in the cache and will run, as far as can be told now."""

    def started(self, stage: Stage) -> None:
        """A stage began."""

    def finished(self, stage: Stage, entry: Entry, *, ran: bool) -> None:
        """A stage is done; ``ran`` is False when its result was there already."""

    def idle(self) -> None:
        """Called ten times a second while stages run."""


@contextmanager
def build_lock(build: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Keeps other runs out of a build folder; calls ``waiting`` with the holder's process id before it waits.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = build / ".lock"
    with ExitStack() as stack:
        while True:
            with storage_errors(build):
                _make_folder(build)
                lock = stack.enter_context(path.open("a+"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                waiting(lock.read().strip() or "unknown")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(path, lock):
                break  # else who held it has removed the whole folder, and another run may have made it anew since
        with storage_errors(build):
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield


def _make_folder(build: Path) -> None:
    try:
        build.mkdir(parents=True, exist_ok=True)
    except FileExistsError as err:
        raise StorageError(f"cannot write {build}: it is a file; choose another folder with --build-dir") from err


def _is_at(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def run(
    stages: Sequence[Stage],
    *,
    build: Path,
    model: str,
    observer: Observer,
    again: Callable[[Stage], bool] | None = None,
) -> dict[str, Entry]:
    """Runs the stages that have to be run and returns the results of all, by stage name.

    The caller holds `build_lock`. On any error and on KeyboardInterrupt every worker is ended and unfinished folders
    are removed; results of finished stages stay and are found by the next run.

    Args:
        stages: names unique; each refers to others by name, without a cycle.
        build: the build folder.
        model: whose stages they are; models share a build folder.
        observer: is told of the progress.
        again: says of a stage whether it runs though its result is there.

    Raises:
        StageError: a stage failed or its worker died.
        StorageError: the disk is full or read-only.
    """
    with storage_errors(build):
        return _Run(stages, build, model, observer, again or (lambda stage: False)).run()


@dataclass(frozen=True, slots=True)
class _Running:
    """A stage at work: its folder, which ``stack`` removes, and whether its request ends with it."""

    workspace: Path
    stack: ExitStack
    is_last: bool


class _Run:
    def __init__(
        self, stages: Sequence[Stage], build: Path, model: str, observer: Observer, again: Callable[[Stage], bool]
    ) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._build = build
        self._cache = Cache(build, model)
        self._observer = observer
        self._again = again
        self._graph = TopologicalSorter({stage.name: stage.predecessors for stage in stages})
        self._done: dict[str, Entry] = {}
        self._keys: dict[str, str] = {}
        self._ready: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._requests: Counter[str] = Counter()
        self._workers: dict[str, Worker] = {}
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def run(self) -> dict[str, Entry]:
        self._graph.prepare()
        for stage in self._stages.values():
            self._cache.source(stage)  # taken before the workers import the code, whatever is edited meanwhile
        self._advance()
        waiting = [stage for stage in self._stages.values() if stage.name not in self._done]
        if not waiting:
            self._cache.sweep_unfinished()
        else:
            self._observer.planned(waiting)
            try:
                self._start_workers(waiting)
                while self._ready or self._running:
                    self._dispatch()
                    if self._running:
                        self._receive()
            finally:
                self._end()
            self._cache.sweep(self._keys)
        return self._done

    def _advance(self) -> None:
        """Takes every stage whose predecessors are done: from the cache if it is there, else it is ready to run."""
        while names := self._graph.get_ready():
            for name in names:
                stage = self._stages[name]
                self._keys[name] = self._cache.key(stage, {a: self._digest(r) for a, r in stage.inputs.items()})
                found = None if self._again(stage) else self._cache.find(stage, self._keys[name])
                if found:
                    self._finish(stage, found, ran=False)
                else:
                    self._ready.add(name)

    def _digest(self, reference: str) -> str:
        name, _, path = reference.partition("/")
        return self._done[name].digest(path)

    def _finish(self, stage: Stage, entry: Entry, *, ran: bool) -> None:
        self._done[stage.name] = entry
        self._graph.done(stage.name)
        self._observer.finished(stage, entry, ran=ran)

    def _start_workers(self, waiting: Sequence[Stage]) -> None:
        logs = self._build / "logs"
        logs.mkdir(exist_ok=True)
        for framework in dict.fromkeys(stage.worker for stage in waiting if stage.worker):
            self._workers[framework] = Worker(framework, logs / f"{framework}.log", self._answers)

    def _dispatch(self) -> None:
        """Starts what is ready, in the chain's order, as far as its worker has room."""
        for stage in self._stages.values():
            if stage.name not in self._ready:
                continue
            if stage.worker is None:
                self._run_here(stage)
            elif self._requests[stage.worker] < _AT_ONCE and not self._more_to_come(stage):
                self._ask(stage.worker, stage.title)

    def _more_to_come(self, stage: Stage) -> bool:
        """Whether other workers still work on this title, so that waiting for them lets more stages share a copy."""
        running = map(self._stages.__getitem__, self._running)
        return any(other.title == stage.title and other.worker != stage.worker for other in running)

    def _ask(self, framework: str, title: str) -> None:
        """Sends ready stages of a title as one request: they share a copy of the worker, and its start-up."""
        stages = [
            s for s in self._stages.values() if s.name in self._ready and (s.worker, s.title) == (framework, title)
        ]
        free = _AT_ONCE - self._requests[framework]
        stages = stages[: math.ceil(len(stages) / free)]
        request = []
        for stage in stages:
            arguments = self._begin(stage, is_last=stage is stages[-1])
            # Workers have a working directory of their own.
            paths = {
                name: {"path": str(value.absolute())} if isinstance(value, Path) else value
                for name, value in arguments.items()
            }
            request.append({"stage": stage.name, "call": stage.call, "arguments": paths})
        self._requests[framework] += 1
        self._workers[framework].ask(request)

    def _begin(self, stage: Stage, *, is_last: bool = True) -> dict[str, Any]:
        """Makes a stage's folder and returns its arguments."""
        self._observer.started(stage)
        self._ready.remove(stage.name)
        stack = ExitStack()
        workspace = stack.enter_context(self._cache.workspace(stage, self._keys[stage.name]))
        self._running[stage.name] = _Running(workspace, stack, is_last)
        files = {argument: Path(path) for argument, path in stage.files.items()}
        arguments: dict[str, Any] = {"out": workspace, **stage.params, **files}
        for argument, reference in stage.inputs.items():
            name, _, path = reference.partition("/")
            arguments[argument] = self._done[name].folder / path
        if stage.publishes:
            arguments["build"] = self._build
        return arguments

    def _complete(self, stage: Stage, result: Result, seconds: float, memory: Memory) -> None:
        """Keeps what a stage left in its folder, and looks what can run now."""
        running = self._running.pop(stage.name)
        with running.stack:
            entry = self._cache.keep(stage, self._keys[stage.name], running.workspace, result, seconds, memory)
        self._finish(stage, entry, ran=True)
        self._advance()

    def _run_here(self, stage: Stage) -> None:
        arguments = self._begin(stage)
        started = time.perf_counter()
        try:
            with storage_errors(arguments["out"]), measured() as memory:
                result: Result | None = call_stage(stage.call, arguments)
        except ShowdownError as err:
            raise StageError(stage.name, str(err), code=err.code) from err
        self._complete(stage, result or {}, time.perf_counter() - started, memory)

    def _receive(self) -> None:
        try:
            answer = self._answers.get(timeout=0.1)
        except queue.Empty:
            self._observer.idle()
            return
        worker, message = self._workers[answer.worker], answer.message
        if message is None:
            affected = [name for name in self._running if self._stages[name].worker == worker.framework]
            raise StageError(", ".join(affected) or "start", worker.death(), code=Code.INTERNAL, log=str(worker.log))
        stage = self._stages[message["stage"]]
        if error := message.get("error"):
            raise StageError(stage.name, error["message"], code=Code[error["code"]], log=str(worker.log))
        self._requests[worker.framework] -= self._running[stage.name].is_last
        result: Result | None = message["result"]
        self._complete(stage, result or {}, message["seconds"], Memory(**message["memory"]))

    def _end(self) -> None:
        for worker in self._workers.values():
            worker.kill()
        for running in self._running.values():
            running.stack.close()
