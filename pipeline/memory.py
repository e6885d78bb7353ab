"""How much memory a piece of work took, as the system counts it."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memory", "measured"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Written to clear_refs it sets the peak back to what is resident now (proc_pid_clear_refs(5))."""


@dataclass(slots=True)
class Memory:
    """Resident memory of a process around a piece of work.

    Attributes:
        before_bytes: when it began; of a fork, what it shares with the process that it came from included.
        peak_bytes: the most while it ran.
    """

    before_bytes: int = 0
    peak_bytes: int = 0


@contextmanager
def measured() -> Iterator[Memory]:
    """Measures the block; where the system has no peak that can be set back, that of the whole process counts."""
    memory = Memory()
    if _CLEAR.exists():
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        memory.before_bytes = _peak()
    try:
        yield memory
    finally:
        # The kernel counts pages by thread and adds them up later: the peak may come out a little lower than the start.
        memory.peak_bytes = max(memory.before_bytes, _peak())


def _peak() -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
