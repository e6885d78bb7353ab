"""Results of stages on disk, found again by the key of what they were made from.

``<build>/cache/<model>/<stage>/<key>/`` holds the files of one result and ``stage.json``, which records them. The
folder is filled under another name and renamed, so one that is there is whole.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contract.files import sha256, tree_files
from pipeline.memory import Memory
from pipeline.source import libraries_digest, source_digest
from pipeline.stage import Result, Stage

__all__ = ["Cache", "Entry"]

_RECORD = "stage.json"
_FORMAT = 2
"""Of the folders and records below; part of every key, so that a later form never meets an earlier one."""
_KEY_DIGITS = 20


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was when its stage ended; size and time spare hashing it again while they hold."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "_File":
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, sha256(path))

    def holds(self, path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.mtime_ns or sha256(path) == self.sha256


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of a stage.

    Attributes:
        folder: where its files are.
        files: SHA-256 of each file by its path relative to ``folder``.
        note: what the stage said of its result.
        seconds: how long the stage ran.
        memory: what its process held meanwhile.
    """

    folder: Path
    files: Mapping[str, str]
    note: str
    seconds: float
    memory: Memory

    def digest(self, path: str = "") -> str:
        """SHA-256 of one file of the result, of all files under a folder of it, or of all of it."""
        if path in self.files:
            return self.files[path]
        below = {name: sha for name, sha in self.files.items() if not path or name.startswith(f"{path}/")}
        if not below:
            raise KeyError(path)
        return hashlib.sha256(json.dumps(sorted(below.items())).encode()).hexdigest()


def _digest(path: str) -> list[str]:
    return [Path(path).name, sha256(Path(path))]


class Cache:
    """The results of one model's stages. Not safe for two processes: the build folder's lock keeps them apart."""

    def __init__(self, build: Path, model: str) -> None:
        self._build = build
        self._folder = build / "cache" / model

    def key(self, stage: Stage, inputs: Mapping[str, str]) -> str:
        """The key of a stage's result.

        Args:
            stage: the stage.
            inputs: digest of what each of its input arguments refers to.
        """
        made_from = {
            "format": _FORMAT,
            "call": stage.call,
            "params": stage.params,
            "inputs": inputs,
            "files": {argument: _digest(path) for argument, path in stage.files.items()},
            "watches": [_digest(path) for path in stage.watches],
            "source": self.source(stage),
            "libraries": libraries_digest(),
            "python": sys.version,
        }
        return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]

    def source(self, stage: Stage) -> str:
        """Digest of the code that a stage runs, as it was when this process first asked.

        Ask before the workers start: they import the code then, and an edit after that belongs to the next run.
        """
        return source_digest(stage.call.partition(":")[0], *stage.code)

    def find(self, stage: Stage, key: str) -> Entry | None:
        """The result under this key, or None if there is none or a file of it is not as it was."""
        folder = self._folder / stage.name / key
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            files = {name: _File(**file) for name, file in record["files"].items()}
            published = {name: _File(**file) for name, file in record["published"].items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # Not there, cut short by a power failure, or of another form: made again.
            return None
        if not all(file.holds(folder / name) for name, file in files.items()):
            return None
        if not all(file.holds(self._build / name) for name, file in published.items()):
            return None
        digests = {name: file.sha256 for name, file in files.items()}
        return Entry(folder, digests, record["note"], record["seconds"], Memory(**record["memory"]))

    @contextmanager
    def workspace(self, stage: Stage, key: str) -> Iterator[Path]:
        """An empty folder for a stage to fill; removed at the end unless `keep` has taken it."""
        if stage.publishes:
            # It is about to replace what these have published. Should this run end early, they are not to be found.
            for earlier in (self._folder / stage.name).glob("[!.]*"):
                shutil.rmtree(earlier)
        folder = self._folder / stage.name / f".{key}.{os.getpid()}.partial"
        if folder.exists():
            # Of a killed run that had this process id: in a container it may be the same each time.
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, stage: Stage, key: str, workspace: Path, result: Result, seconds: float, memory: Memory) -> Entry:
        """Makes what a stage left in its workspace its result under this key."""
        published = {name: asdict(_File.of(self._build / name)) for name in result.get("published", [])}
        files = {name: _File.of(workspace / name) for name in tree_files(workspace)}
        note = result.get("note", "")
        record: dict[str, Any] = {
            "files": {name: asdict(file) for name, file in files.items()},
            "published": published,
            "note": note,
            "seconds": round(seconds, 3),
            "memory": asdict(memory),
        }
        (workspace / _RECORD).write_text(json.dumps(record), encoding="utf-8")
        folder = self._folder / stage.name / key
        if folder.exists():
            shutil.rmtree(folder)
        workspace.rename(folder)
        return Entry(folder, {name: file.sha256 for name, file in files.items()}, note, seconds, memory)

    def sweep_unfinished(self) -> None:
        """Removes what a killed run left half made; the caller holds the build folder's lock, so nobody is at work."""
        for folder in self._folder.glob("*/.*.partial"):
            shutil.rmtree(folder)

    def sweep(self, keep: Mapping[str, str]) -> None:
        """Removes every result but these, given as key by stage name, and whatever a killed run left behind."""
        for folder in self._folder.glob("*/*"):
            if keep.get(folder.parent.name) != folder.name:
                shutil.rmtree(folder)
