"""Loads and unloads versions so that a model that is served stays served.

Source: aspired_versions_manager.cc, basic_manager.cc and availability_preserving_policy.cc of TensorFlow Serving.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.errors import Code, ShowdownError, StatusError
from serving.manager.states import State, States
from serving.servable import Servable

__all__ = ["Lease", "Loader", "Manager", "Retries"]

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
"""How often the manager looks whether something is to be done when nobody wakes it."""

Loader = Callable[[str, int, Path], Servable]
"""Loads, initializes and warms up a version: name, version, folder. Raises ShowdownError, OSError or MemoryError."""


class _Phase(Enum):
    NEW = auto()
    LOADING = auto()
    READY = auto()
    UNLOADING = auto()
    FAILED = auto()
    GONE = auto()


@dataclass(slots=True)
class _Managed:
    """A version under management."""

    name: str
    version: int
    path: Path
    is_aspired: bool = True
    phase: _Phase = _Phase.NEW
    servable: Servable | None = None
    uses: int = 0
    attempts: int = 0
    retry_at: float | None = None
    fingerprint: tuple[tuple[str, int, int], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return f"{{name: {self.name} version: {self.version}}}"


@dataclass(frozen=True, slots=True)
class Retries:
    """What happens after a failed load.

    Attributes:
        max_num: attempts after the first one.
        interval: seconds between attempts.
        when_changed: try a version that has finally failed again once its files change, and let a version that is
            wanted again while it still serves go on serving. TensorFlow Serving does neither.
    """

    max_num: int = 5
    interval: float = 60.0
    when_changed: bool = False


class Lease:
    """A version in use; it is not unloaded before the block ends.

    Attributes:
        servable: the loaded version.
        version: its number.
    """

    __slots__ = ("_managed", "_manager", "servable", "version")

    def __init__(self, manager: "Manager", managed: _Managed, servable: Servable) -> None:
        self._manager = manager
        self._managed = managed
        self.servable = servable
        self.version = managed.version

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._manager.release(self._managed)


class Manager:
    """Brings the versions that are wanted to life, and those that are not to their end.

    It takes one step at a time, an unload before a load. Of a model whose version is wanted no more, the old version
    goes on until a wanted one is ready.
    """

    def __init__(self, load: Loader, states: States, *, retries: Retries, num_load_threads: int) -> None:
        """Starts managing in a thread of its own.

        Args:
            load: loads a version.
            states: where to note what happens.
            retries: of failed loads.
            num_load_threads: how many versions load at the same time.
        """
        self._load = load
        self._states = states
        self._retries = retries
        self._lock = threading.Condition()
        # Of what calls look at, `_live`, `_newest` and uses, alone: no call waits for what the manager does.
        self._live_lock = threading.Lock()
        self._models: dict[str, dict[int, _Managed]] = {}
        self._live: dict[str, dict[int, _Managed]] = {}
        self._newest: dict[str, _Managed] = {}
        self._pending: dict[str, Mapping[int, Path]] = {}
        self._is_stopped = False
        self._pool = ThreadPoolExecutor(num_load_threads, "load")
        self._thread = threading.Thread(target=self._loop, name="manager", daemon=True)
        self._thread.start()

    def set_num_load_threads(self, number: int) -> None:
        """Changes how many versions load at the same time; what has begun goes on."""
        with self._lock:
            old, self._pool = self._pool, ThreadPoolExecutor(number, "load")
        old.shutdown(wait=False)

    def set_aspired(self, name: str, versions: Mapping[int, Path]) -> None:
        """States the wanted versions of a model and their folders, in the place of what was said before."""
        with self._lock:
            if name in self._pending:
                self._apply(name)  # else a version that has failed would not leave before it comes back
            self._pending[name] = versions
            self._lock.notify_all()

    def lease(self, name: str, version: int | None = None) -> Lease | None:
        """A version for use, the highest available one for None; None where it is not available."""
        with self._live_lock:
            managed = self._newest.get(name) if version is None else self._live.get(name, {}).get(version)
            if managed is None or managed.servable is None:
                return None
            managed.uses += 1
            return Lease(self, managed, managed.servable)

    def release(self, managed: _Managed) -> None:
        """Ends a lease."""
        with self._live_lock:
            managed.uses -= 1
            is_last = not managed.uses and managed.phase is _Phase.UNLOADING
        if is_last:
            with self._lock:
                self._lock.notify_all()

    def is_available(self, name: str, version: int) -> bool:
        """Whether a version can be used."""
        with self._live_lock:
            return version in self._live.get(name, {})

    def newest(self, name: str) -> int | None:
        """The highest version of a model that can be used, None where there is none."""
        with self._live_lock:
            managed = self._newest.get(name)
            return None if managed is None else managed.version

    def stop(self) -> None:
        """Ends the thread; what is loaded stays until the process ends."""
        with self._lock:
            self._is_stopped = True
            self._lock.notify_all()
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _loop(self) -> None:
        with self._lock:
            while not self._is_stopped:
                if not self._step():
                    self._lock.wait(_TICK_SECONDS)

    def _step(self) -> bool:
        """Takes one step, if one is to be taken."""
        for name in list(self._pending):
            self._apply(name)
        self._flush()
        self._retry()
        if unload := next(filter(None, map(self._to_unload, self._models.values())), None):
            self._begin_unload(unload)
        elif load := next(filter(None, map(self._to_load, self._models.values())), None):
            self._begin_load(load)
        else:
            return False
        return True

    def _apply(self, name: str) -> None:
        """Marks the versions of a model as wanted or not."""
        wanted = self._pending[name]
        managed = self._models.setdefault(name, {})
        again = [managed[version] for version in wanted if version in managed and not managed[version].is_aspired]
        if self._retries.when_changed:
            for version in again:
                version.is_aspired = version.phase in (_Phase.NEW, _Phase.LOADING, _Phase.READY)
        if any(not version.is_aspired for version in again):
            return  # a version that is on its way out has to be gone before it may come back
        del self._pending[name]
        for version in managed.values():
            version.is_aspired = version.version in wanted
        for number, path in wanted.items():
            if number not in managed:
                managed[number] = _Managed(name, number, path)
                self._states.set(name, number, State.START)
            elif self._retries.when_changed and managed[number].phase is _Phase.FAILED:
                self._revive(managed[number])

    def _revive(self, failed: _Managed) -> None:
        """Gives a failed version whose files have changed a fresh start."""
        if _fingerprint(failed.path) != failed.fingerprint:
            self._models[failed.name][failed.version] = _Managed(failed.name, failed.version, failed.path)
            self._states.set(failed.name, failed.version, State.START)

    def _flush(self) -> None:
        """Forgets what is over and not wanted any more."""
        for versions in self._models.values():
            for managed in list(versions.values()):
                if managed.phase is _Phase.GONE or (not managed.is_aspired and managed.phase is _Phase.FAILED):
                    del versions[managed.version]
                elif not managed.is_aspired and managed.phase is _Phase.NEW:
                    del versions[managed.version]
                    self._states.set(managed.name, managed.version, State.END)

    @staticmethod
    def _to_unload(versions: Mapping[int, _Managed]) -> _Managed | None:
        """The version of a model that goes next."""
        unwanted = [
            version for version in versions.values() if version.phase is _Phase.READY and not version.is_aspired
        ]
        wanted = [version for version in versions.values() if version.is_aspired]
        may_go = not wanted or any(version.phase is _Phase.READY for version in wanted) or len(unwanted) > 1
        return min(unwanted, key=lambda version: version.version) if unwanted and may_go else None

    @staticmethod
    def _to_load(versions: Mapping[int, _Managed]) -> _Managed | None:
        """The version of a model that comes next."""
        new = [version for version in versions.values() if version.phase is _Phase.NEW and version.is_aspired]
        return max(new, key=lambda version: version.version, default=None)

    def _begin_load(self, managed: _Managed) -> None:
        managed.phase = _Phase.LOADING
        managed.retry_at = None
        self._states.set(managed.name, managed.version, State.LOADING)
        self._pool.submit(self._try_to_load, managed)

    def _retry(self) -> None:
        """Tries again what has waited long enough, and gives up on what is wanted no more."""
        now = time.monotonic()
        for versions in self._models.values():
            for managed in versions.values():
                if managed.retry_at is not None and (now >= managed.retry_at or not managed.is_aspired):
                    managed.retry_at = None
                    self._pool.submit(self._try_to_load, managed)

    def _try_to_load(self, managed: _Managed) -> None:
        """One attempt, in a thread of the pool."""
        name, version, path = managed.name, managed.version, managed.path
        managed.attempts += 1
        managed.fingerprint = _fingerprint(path) if self._retries.when_changed else ()
        try:
            _check_folder(managed)
            servable = self._load(name, version, path)
        except ShowdownError as err:
            self._failed(managed, err if isinstance(err, StatusError) else StatusError(err.code, str(err)))
        except MemoryError:
            self._failed(managed, StatusError(Code.RESOURCE_EXHAUSTED, f"{path}: there is not enough memory"))
        except OSError as err:
            self._failed(managed, StatusError(Code.UNKNOWN, f"{err.filename or path}; {err.strerror or err}"))
        except Exception as err:  # noqa: BLE001  it is the version's fault, the others go on
            _log.exception("Loading servable %s failed", managed)
            self._failed(managed, StatusError(Code.INTERNAL, f"{type(err).__name__}: {err}"))
        else:
            with self._lock:
                managed.servable = servable
                managed.phase = _Phase.READY
                self._set_live(managed, is_live=True)
                self._states.set(name, version, State.AVAILABLE)
                self._lock.notify_all()
            _log.info("Successfully loaded servable version %s", managed)

    def _failed(self, managed: _Managed, error: StatusError) -> None:
        _log.error("Loading servable: %s failed: %s", managed, error)
        with self._lock:
            may_retry = managed.is_aspired and not isinstance(error, _NoResourcesError) and not self._is_stopped
            if may_retry and managed.attempts <= self._retries.max_num:
                managed.retry_at = time.monotonic() + max(0.0, self._retries.interval)
                self._states.set(managed.name, managed.version, State.LOADING, is_waiting=True)
            else:
                managed.phase = _Phase.FAILED
                self._states.set(managed.name, managed.version, State.END, error)
            self._lock.notify_all()

    def _begin_unload(self, managed: _Managed) -> None:
        managed.phase = _Phase.UNLOADING
        self._set_live(managed, is_live=False)
        self._states.set(managed.name, managed.version, State.UNLOADING)
        # Each in a thread of its own: it waits for the calls that run on it, and another one need not.
        threading.Thread(target=self._unload, args=(managed,), name="unload", daemon=True).start()

    def _unload(self, managed: _Managed) -> None:
        with self._lock:
            while managed.uses:
                self._lock.wait()
            servable, managed.servable = managed.servable, None
        if servable is not None:
            servable.close()
        with self._lock:
            managed.phase = _Phase.GONE
            self._states.set(managed.name, managed.version, State.END)
            self._lock.notify_all()
        _log.info("Done unloading servable version %s", managed)

    def _set_live(self, managed: _Managed, *, is_live: bool) -> None:
        with self._live_lock:
            live = self._live.setdefault(managed.name, {})
            if is_live:
                live[managed.version] = managed
            else:
                del live[managed.version]
            if live:
                self._newest[managed.name] = live[max(live)]
            else:
                self._newest.pop(managed.name, None)


class _NoResourcesError(StatusError):
    """The version cannot be loaded whatever is tried."""


def _check_folder(managed: _Managed) -> None:
    """Refuses a version that is no folder."""
    if managed.path.is_dir():
        return
    code, why = (
        (Code.FAILED_PRECONDITION, "Not a directory")
        if managed.path.exists()
        else (Code.NOT_FOUND, "No such file or directory")
    )
    raise _NoResourcesError(
        code, f"Error while attempting to reserve resources to load servable {managed}: {managed.path}; {why}"
    )


def _fingerprint(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of each file, by which a change is seen."""
    found = []
    # Path.rglob raises where a folder goes away while we look; os.walk passes over it.
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            try:
                status = Path(parent, name).stat()
            except OSError:  # it goes away while we look, leads nowhere or in a circle, or may not be read
                continue
            found.append((str(Path(parent, name)), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))
