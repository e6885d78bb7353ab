"""What the kernel knows of a process tree."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process tree, in bytes; pss is None where the kernel does not tell."""

    rss: int
    anonymous: int
    pss: int | None


def session(leader: int) -> list[Path]:
    """The folders in /proc of a session's processes: a server is started as the leader of its own."""
    return [folder for folder in Path("/proc").glob("[0-9]*") if (found := _stat(folder)) and int(found[3]) == leader]


def _stat(folder: Path) -> list[str]:
    """The fields of ``stat`` behind the command's name, from the state on; none of a process that has ended."""
    try:
        return (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(leader: int) -> float:
    """User and system time of a session, of its ended children too."""
    return sum(sum(map(int, _stat(folder)[11:15])) for folder in session(leader)) / _TICKS


def memory(leader: int) -> Memory:
    """Resident memory of a session. Pages that several processes share count in each of them, but for pss."""
    rss = anonymous = pss = 0
    has_pss = True
    for folder in session(leader):
        status = _kilobytes(folder / "status")
        rss += status.get("VmRSS", 0)
        anonymous += status.get("RssAnon", 0)
        try:
            pss += _kilobytes(folder / "smaps_rollup")["Pss"]
        except (OSError, KeyError):
            has_pss = False
    return Memory(rss, anonymous, pss if has_pss else None)


def _kilobytes(path: Path) -> dict[str, int]:
    """The lines ``Name: 12 kB`` of a file of /proc, in bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: int(value) * 1024 for name, value in found}
