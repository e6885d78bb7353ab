"""One step of the chain, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

__all__ = ["Json", "Result", "Stage"]

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


class Result(TypedDict):
    """What a stage function may return, beside the files that it writes.

    Attributes:
        note: a few words for the progress line.
        published: files that it wrote outside its own folder, relative to the build folder.
    """

    note: NotRequired[str]
    published: NotRequired[list[str]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A pure function of files: it reads its inputs, writes into a folder of its own, and touches nothing else.

    Attributes:
        name: unique in a chain; also the name of its folder.
        call: ``module:function``; called with ``out``, its inputs and its parameters as keyword arguments.
        worker: the worker that runs it (a name of `pipeline.worker.PRELOADS`), or None for `showdown`'s own process.
        inputs: by argument, a stage's folder (``"to_onnx"``) or a file in it (``"to_onnx/model.onnx"``).
        params: further arguments, JSON values.
        files: by argument, the path of a file that no stage made; a result counts while its content is the same.
        watches: paths of further such files, which the function finds by itself.
        after: stages that have to have succeeded first, though none of their files is read.
        code: modules that the function imports by name at run time, which no import statement shows.
        publishes: the function is also given ``build``, the build folder, and writes files into it.
        title: what the progress display calls it, its name unless given. Stages of one title share a line there, and
            a copy of their worker when they are ready together.
    """

    name: str
    call: str
    worker: str | None
    inputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Json] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    watches: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    publishes: bool = False
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.name)

    @property
    def predecessors(self) -> set[str]:
        """Names of the stages that have to be done first."""
        return {reference.partition("/")[0] for reference in self.inputs.values()} | set(self.after)
