"""Which versions there are and were, and in which state: what GetModelStatus tells."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from contract.errors import StatusError

__all__ = ["State", "States", "VersionState"]


class State(IntEnum):
    """``ModelVersionStatus.State`` (get_model_status.proto)."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class VersionState:
    """State of a version.

    Attributes:
        state: as it is told.
        error: with END, why it could not be loaded.
        is_waiting: a load has failed and will be tried again.
    """

    state: State
    error: StatusError | None = None
    is_waiting: bool = False


class States:
    """State of every version that was ever tracked in this run; threads may use it at the same time."""

    def __init__(self) -> None:
        self._models: dict[str, dict[int, VersionState]] = {}
        self._changed = threading.Condition()

    def set(
        self, name: str, version: int, state: State, error: StatusError | None = None, *, is_waiting: bool = False
    ) -> None:
        """Notes a change."""
        with self._changed:
            self._models.setdefault(name, {})[version] = VersionState(state, error, is_waiting)
            self._changed.notify_all()

    def of(self, name: str) -> dict[int, VersionState]:
        """State of each version of a model, the highest version first."""
        with self._changed:
            return dict(sorted(self._models.get(name, {}).items(), reverse=True))

    def failed(self, names: Iterable[str]) -> dict[tuple[str, int], StatusError]:
        """Name, version and error of what could not be loaded."""
        with self._changed:
            return {
                (name, version): state.error
                for name in names
                for version, state in self._models.get(name, {}).items()
                if state.error is not None
            }

    def forget_errors(self, names: Iterable[str]) -> None:
        """Clears the errors of an earlier life, before models come back under the same name."""
        with self._changed:
            for name in names:
                for version, state in self._models.get(name, {}).items():
                    self._models[name][version] = VersionState(state.state)

    def wait_until_settled(self, names: Iterable[str], is_stopped: Callable[[], bool]) -> None:
        """Blocks until each model has a version that is available or has failed, or ``is_stopped``.

        The other versions that it has by then are tried once before: a bad one beside a good one is not overlooked.
        """
        names = list(names)
        with self._changed:
            while not is_stopped() and not all(map(self._is_settled, names)):
                self._changed.wait(timeout=0.1)

    def _is_settled(self, name: str) -> bool:
        versions = self._models.get(name, {}).values()
        has_result = any(version.state is State.AVAILABLE or version.error is not None for version in versions)
        return has_result and not any(
            version.state in (State.START, State.LOADING) and not version.is_waiting for version in versions
        )
