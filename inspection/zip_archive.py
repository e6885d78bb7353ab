"""Reads JSON within zip files, with bounds; unpacks nothing to disk."""

import zipfile
import zlib
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from inspection.damage import DamagedError
from inspection.json_text import parse
from inspection.tensors import FileSize

__all__ = ["ZipArchive"]

MAX_JSON_BYTES = 64 * 1024 * 1024
"""All that is unpacked of one archive; the config of a Keras net with 10,000 layers takes 10 MB."""

_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The other methods unpack more than they are asked for."""


class ZipArchive:
    """The entries of a zip file.

    Attributes:
        files: name and unpacked size of each, in the file's order.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Reads the directory.

        Raises:
            DamagedError: there is none, or an entry lies outside the archive or stands there twice.
        """
        try:
            self._archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as err:
            raise DamagedError(f"its zip directory is damaged: {err}") from err
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self._left = MAX_JSON_BYTES
        for info in self._archive.infolist():
            name = info.filename
            if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
                raise DamagedError(f"its entry {name!r} lies outside the archive")
            if name in self._infos:
                raise DamagedError(f"its entry {name!r} stands there twice")
            self._infos[name] = info
        self.files = tuple(FileSize(name, info.file_size) for name, info in self._infos.items())

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def json(self, name: str) -> Any:
        """The value of an entry that is JSON.

        Raises:
            DamagedError: it is none, cannot be unpacked, or more than `MAX_JSON_BYTES` are to be unpacked in all.
            KeyError: there is no such entry.
        """
        info = self._infos[name]
        if info.file_size > self._left:
            raise DamagedError(f"its {name} unpacks to {info.file_size:,} bytes; over {MAX_JSON_BYTES:,} are not read")
        if info.compress_type not in _READABLE:
            raise DamagedError(f"its {name} is compressed by method {info.compress_type}, neither stored nor deflated")
        try:
            content = self._archive.read(info)
        # RuntimeError: the entry is encrypted.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as err:
            raise DamagedError(f"its {name} cannot be unpacked: {err}") from err
        self._left -= len(content)
        return parse(content, name)
