"""Progress of a run: a live table on a terminal, one line a finished step elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from pipeline.cache import Entry
from pipeline.stage import Stage

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

__all__ = ["Progress", "observer"]


@dataclass(slots=True)
class _Step:
    """Stages of one title: a line of the display."""

    title: str
    framework: str
    stages: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    began: float | None = None

    @property
    def is_done(self) -> bool:
        return self.done == self.stages

    @property
    def note(self) -> str:
        """The notes, equal ones once; those of many files say nothing together."""
        distinct = list(dict.fromkeys(note for note in self.notes if note))
        return ", ".join(distinct) if len(distinct) <= 3 else ""


class Progress:
    """Counts what runs, and prints a line for each step that is done: the display where there is no terminal.

    Attributes:
        ran: whether anything had to be run.
        names: of the stages that ran.
        steps: the lines of the display, by title.
    """

    def __init__(self, stages: Sequence[Stage], output: TextIO) -> None:
        self.names: set[str] = set()
        self.ran = False
        self.steps: dict[str, _Step] = {}
        self._output = output
        for stage in stages:
            step = self.steps.pop(stage.title, None) or _Step(stage.title, stage.worker or "showdown")
            step.stages.add(stage.name)
            self.steps[stage.title] = step  # stands where its last stage does

    def planned(self, stages: Sequence[Stage]) -> None:
        """See `pipeline.engine.Observer`."""
        self.ran = True

    def started(self, stage: Stage) -> None:
        """See `pipeline.engine.Observer`."""
        step = self._step(stage)
        step.began = step.began or time.monotonic()
        self.names.add(stage.name)

    def finished(self, stage: Stage, entry: Entry, *, ran: bool) -> None:
        """See `pipeline.engine.Observer`."""
        step = self._step(stage)
        step.done.add(stage.name)
        step.notes.append(entry.note)
        if ran:
            step.seconds += entry.seconds
        if step.is_done and step.began:
            self.completed(step)

    def idle(self) -> None:
        """See `pipeline.engine.Observer`."""

    def completed(self, step: _Step) -> None:
        """All stages of a step are done, and one of them ran."""
        number = sum(other.is_done for other in self.steps.values())
        print(
            f"[{number:2}/{len(self.steps)}] {step.title:24} {step.framework:12} {step.seconds:6.2f} s  {step.note}",
            file=self._output,
            flush=True,
        )

    def _step(self, stage: Stage) -> _Step:
        return self.steps[stage.title]


class _LiveProgress(Progress):
    """The display on a terminal: every step, what runs in which framework, and for how long."""

    def __init__(self, stages: Sequence[Stage], output: TextIO) -> None:
        super().__init__(stages, output)
        self._live: Live | None = None

    def planned(self, stages: Sequence[Stage]) -> None:
        super().planned(stages)
        from rich.live import Live

        self._live = Live(get_renderable=self._table, refresh_per_second=10)
        self._live.start()

    def completed(self, step: _Step) -> None:
        if self._live:
            self._live.refresh()

    def stop(self) -> None:
        if self._live:
            self._live.stop()

    def _table(self) -> "Table":
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for heading in ("", "stage", "framework"):
            table.add_column(heading)
        table.add_column("elapsed", justify="right")
        table.add_column("result")
        for step in self.steps.values():
            if step.is_done:
                row = (
                    "[green]✔[/]",
                    step.title,
                    step.framework,
                    f"{step.seconds:.1f} s" if step.began else "",
                    step.note,
                )
            elif step.began:
                elapsed = time.monotonic() - step.began
                progress = f"{len(step.done)} of {len(step.stages)}" if len(step.stages) > 2 else ""
                row = ("[yellow]▶[/]", f"[bold]{step.title}[/]", step.framework, f"{elapsed:.1f} s", progress)
            else:
                row = ("[dim]·[/]", f"[dim]{step.title}[/]", f"[dim]{step.framework}[/]", "", "")
            table.add_row(*row)
        return table


@contextmanager
def observer(stages: Sequence[Stage], output: TextIO) -> Iterator[Progress]:
    """A live table where ``output`` is a terminal, else lines."""
    if not (output is sys.stdout and output.isatty()):
        yield Progress(stages, output)
        return
    live = _LiveProgress(stages, output)
    try:
        yield live
    finally:
        live.stop()
