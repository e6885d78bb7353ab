"""Files that are either whole or not there, and what they hold."""

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract.errors import StorageError

__all__ = ["beside", "sha256", "storage_errors", "tree_files", "write_json", "write_text"]

_STORAGE = {
    errno.ENOSPC: "no space left on the disk; free some and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another folder with {option}",
    errno.ENOTDIR: "a part of that path is a file; choose another folder with {option}",
    errno.EACCES: "no permission to write there; choose another folder with {option}",
    errno.EPERM: "no permission to write there; choose another folder with {option}",
}


@contextmanager
def storage_errors(where: Path, option: str = "--build-dir") -> Iterator[None]:
    """Turns what an unwritable or full disk raises into one line that names the file.

    Args:
        where: what was to be written, where the error does not tell.
        option: of the command line, which chooses the folder.

    Raises:
        StorageError: instead of an OSError of that kind; other errors pass through.
    """
    try:
        yield
    except OSError as err:
        if err.errno not in _STORAGE:
            raise
        remedy = _STORAGE[err.errno].format(option=option)
        raise StorageError(f"cannot write {err.filename2 or err.filename or where}: {remedy}") from err


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_files(folder: Path) -> list[str]:
    """Every file under a folder, as sorted POSIX paths relative to it; links are listed, never followed."""
    found = [Path(root, name).relative_to(folder).as_posix() for root, _, names in os.walk(folder) for name in names]
    return sorted(found)


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A free path in the folder of ``target``, renamed to ``target`` at the end; removed if the block fails.

    The block writes a file or fills a folder at that path. What is at ``target`` stays until the rename, which
    replaces a file and refuses a folder that is not empty. Contents are on disk before the rename, so a crash leaves
    either the old or the new. The name starts with a dot and is not a number: no server takes it for a version. It is
    different for each thread of each process.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{threading.get_native_id()}.partial"
    try:
        yield temporary
        for path in (temporary, *(temporary / name for name in tree_files(temporary))):
            _sync(path)
        temporary.rename(target)
        _sync(target.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with beside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all; the same value gives the same bytes."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
