"""Reads a configuration file in protobuf's text format, with the errors of ``tensorflow_model_server``.

Texts: ``ParseProtoTextFile`` of tensorflow_serving/model_servers/server.cc, and ``IOError`` of
xla/tsl/platform/errors.cc for what the file system says.
"""

import errno
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import text_format

from contract.errors import Code, StatusError

__all__ = ["TextConfigError", "Where", "read_text_proto"]

_M = TypeVar("_M")

_log = logging.getLogger(__name__)

_CODES = {
    errno.ENOENT: Code.NOT_FOUND,
    errno.ENODEV: Code.NOT_FOUND,
    errno.EACCES: Code.PERMISSION_DENIED,
    errno.EPERM: Code.PERMISSION_DENIED,
    errno.ENOTDIR: Code.FAILED_PRECONDITION,
    errno.EINVAL: Code.INVALID_ARGUMENT,
    errno.ENAMETOOLONG: Code.INVALID_ARGUMENT,
}
"""Of ``errno`` (absl/status/status.cc); what is not listed, such as a circle of links, is UNKNOWN."""


@dataclass(frozen=True)
class Where:
    """Where a text stopped making sense: line and column, both from 1, and why."""

    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.reason}"


class TextConfigError(StatusError):
    """A configuration file cannot be read.

    Attributes:
        where: the place in the file, or None where the file could not even be opened.
    """

    def __init__(self, code: Code, message: str, where: Where | None = None) -> None:
        super().__init__(code, message)
        self.where = where


def read_text_proto(path: str, message_class: type[_M]) -> _M:
    """Reads a text proto.

    Args:
        path: of the file, also as ``file://...``.
        message_class: type of the message.

    Raises:
        TextConfigError: the file cannot be opened, is empty, or is no such message.
    """
    data = _read(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        where = Where(before.count(b"\n") + 1, column, f"Not UTF-8: {error.reason}.")
        raise _invalid(path, message_class, where) from error
    message: Any = message_class()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise _invalid(path, message_class, _where(error, text)) from error
    return message  # type: ignore[no-any-return]


def _read(path: str) -> bytes:
    try:
        data = Path(path.removeprefix("file://")).read_bytes()
    except OSError as error:
        # TF maps the file into memory. A folder opens, and then cannot be mapped.
        number = errno.ENODEV if error.errno == errno.EISDIR else error.errno or 0
        raise _refused(path, number) from error
    if not data:  # an empty file cannot be mapped either
        raise _refused(path, errno.EINVAL)
    return data


def _refused(path: str, number: int) -> TextConfigError:
    return TextConfigError(_CODES.get(number, Code.UNKNOWN), f"{path}; {os.strerror(number)}")


def _invalid(path: str, message_class: Any, where: Where) -> TextConfigError:
    _log.error("Error parsing text-format %s: %s", message_class.DESCRIPTOR.full_name, where)
    return TextConfigError(Code.INVALID_ARGUMENT, f"Invalid protobuf file: '{path}'", where)


def _where(error: Any, text: str) -> Where:
    """Without the position that Python's parser puts before its reason, and without the text, which may be a key."""
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    reason = str(error).removeprefix(f"{line}:{column} : ")
    quoted = text.split("\n")[line - 1] if line <= text.count("\n") + 1 else ""
    reason = reason.removeprefix(f"'{quoted}': ")
    return Where(line, column, re.sub(r"^(String missing ending quote): .*", r"\1.", reason, flags=re.DOTALL))
