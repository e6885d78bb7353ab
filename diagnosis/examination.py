"""Everything that `showdown doctor` looks at, in order."""

from collections.abc import Iterator
from pathlib import Path

from diagnosis import environment, machine, processes, programs
from diagnosis.finding import Finding

__all__ = ["examine"]


def examine(root: Path, build: Path) -> Iterator[Finding]:
    """Looks at the machine, what is installed, and whether it starts.

    Args:
        root: the clone, with its requirements.lock and .venv.
        build: the build folder; it need not exist.
    """
    yield machine.supported()
    yield machine.room(build)
    yield environment.python(root)
    yield environment.setup(root)
    yield environment.libraries(root)
    yield from environment.lock(root)
    yield from processes.started(root)
    yield from programs.tools(root)
    yield from programs.optional()
