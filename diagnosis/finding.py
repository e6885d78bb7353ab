"""One thing that was looked at, and what came of it."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Finding", "State"]


class State(Enum):
    """How it stands with one thing."""

    OK = "ok"
    NOTE = "note"
    """It works, but somebody should know."""
    ABSENT = "absent"
    """An optional part that is not there."""
    FAILED = "failed"
    """The chain cannot run, or not as it is locked."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of looking at one thing.

    Attributes:
        part: what it belongs to.
        name: what was looked at.
        state: how it stands.
        detail: what was found, in one line; of what is absent, what it would add.
        remedy: what to do about it, or nothing.
    """

    part: str
    name: str
    state: State
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """A JSON object."""
        return {
            "part": self.part,
            "name": self.name,
            "state": self.state.value,
            "detail": self.detail,
            "remedy": self.remedy,
        }
