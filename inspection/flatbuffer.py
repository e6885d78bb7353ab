"""Reads FlatBuffers by the positions of their fields; every offset is checked before it is followed.

Source: https://flatbuffers.dev/internals/
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from typing import NoReturn

from inspection.damage import DamagedError

__all__ = ["FlatBuffer", "Table", "Vector"]

_OFFSET = "<I"

_MAX_REUSE = 2
"""How often a file may be read in the mean: writers share a name or a shape now and then, but no tables."""

_TABLE_BYTES = 16
"""What a table with a field or two takes at least: the offset to it, its distance to its vtable, the fields."""


class FlatBuffer:
    """A whole file."""

    def __init__(self, content: bytes | mmap) -> None:
        self.content = content
        self.size = len(content)
        self._budget = _MAX_REUSE * len(content)

    def root(self, what: str) -> "Table":
        """The table that the file begins with."""
        return Table(self, self.number(_OFFSET, 0, what), what)

    def number(self, form: str, at: int, what: str) -> int:
        """The integer at a position, in the form of `struct`; ``what`` it belongs to is for the message."""
        # struct takes a negative position for one from the end.
        if at < 0 or at + struct.calcsize(form) > self.size:
            _outside(what)
        number: int = struct.unpack_from(form, self.content, at)[0]
        return number

    def vector(self, at: int, width: int, what: str) -> "Vector":
        """The vector of elements of ``width`` bytes at a position."""
        count = self.number(_OFFSET, at, what)
        if at + 4 + count * width > self.size:
            _outside(what)
        return Vector(at + 4, count)

    def spend(self, size: int, what: str) -> None:
        """Counts the bytes that are read: a small file can't make a reader go through the same ones for ever."""
        self._budget -= size
        if self._budget < 0:
            raise DamagedError(f"it refers to the same bytes again and again, at last for its {what}")


@dataclass(frozen=True, slots=True)
class Vector:
    """Where a vector's elements begin, and how many there are."""

    start: int
    count: int


class Table:
    """A table: its fields by their position in the schema."""

    __slots__ = ("_at", "_buffer", "_vtable", "_vtable_bytes", "_what")

    def __init__(self, buffer: FlatBuffer, at: int, what: str) -> None:
        self._buffer, self._at, self._what = buffer, at, what
        self._vtable = at - buffer.number("<i", at, what)
        self._vtable_bytes = buffer.number("<H", self._vtable, what)

    def integer(self, position: int, form: str, default: int = 0) -> int:
        """The integer of a field, in the form of `struct`."""
        at = self._field(position)
        return self._buffer.number(form, at, self._what) if at else default

    def text(self, position: int) -> str:
        """The string of a field, an empty one where there is none; what is no UTF-8 is shown as escapes."""
        vector = self.vector(position, 1, self._what)
        self._buffer.spend(vector.count, self._what)
        content = self._buffer.content[vector.start : vector.start + vector.count]
        return content.decode("utf-8", "backslashreplace")

    def vector(self, position: int, width: int, what: str) -> Vector:
        """The vector of a field, an empty one where there is none."""
        at = self._field(position)
        return self._buffer.vector(self._follow(at, what), width, what) if at else Vector(0, 0)

    def integers(self, position: int, form: str, what: str) -> tuple[int, ...]:
        """The numbers of a field, in the form of `struct`."""
        vector = self.vector(position, struct.calcsize(form), what)
        self._buffer.spend(vector.count * struct.calcsize(form), what)
        return struct.unpack_from(f"<{vector.count}{form[-1]}", self._buffer.content, vector.start)

    def floats(self, position: int, what: str) -> tuple[float, ...]:
        """The float32 numbers of a field."""
        vector = self.vector(position, 4, what)
        self._buffer.spend(4 * vector.count, what)
        return struct.unpack_from(f"<{vector.count}f", self._buffer.content, vector.start)

    def table(self, position: int, what: str) -> "Table | None":
        """The table of a field."""
        at = self._field(position)
        return Table(self._buffer, self._follow(at, what), what) if at else None

    def tables(self, position: int, what: str) -> Iterator["Table"]:
        """The tables of a field."""
        vector = self.vector(position, 4, what)
        self._buffer.spend(_TABLE_BYTES * vector.count, what)
        for at in range(vector.start, vector.start + 4 * vector.count, 4):
            yield Table(self._buffer, self._follow(at, what), what)

    def _field(self, position: int) -> int:
        """Where a field stands, or 0 for one that is not there."""
        slot = 4 + 2 * position
        if slot + 2 > self._vtable_bytes:
            return 0
        offset = self._buffer.number("<H", self._vtable + slot, self._what)
        return self._at + offset if offset else 0

    def _follow(self, at: int, what: str) -> int:
        return at + self._buffer.number(_OFFSET, at, what)


def _outside(what: str) -> NoReturn:
    raise DamagedError(f"it ends before its {what}")
