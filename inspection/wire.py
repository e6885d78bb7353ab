"""Reads protocol buffers without their schema, and without reading what is not asked for.

A parser of protobuf's own copies every weight of a model into memory, and importing it with the modules of ONNX or
TensorFlow takes longer than reading the file. This one looks at the lengths and skips what they span.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from mmap import mmap

from inspection.damage import DamagedError

__all__ = ["Content", "Message", "varint"]

Content = bytes | mmap

_VARINT, _FIXED64, _SPAN, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT_BYTES = 10


class Message:
    """One message: its fields by number, in the order of the file.

    Numbers are kept as they stand in the file, strings and messages as the span that they take.
    """

    __slots__ = ("_content", "_fields", "_what")

    def __init__(self, content: Content, what: str, start: int = 0, end: int | None = None) -> None:
        """Finds the fields of the message between two positions, the whole content by default.

        Raises:
            DamagedError: a field does not end within the message; names ``what`` it is.
        """
        self._content = content
        self._what = what
        try:
            self._fields = _fields(content, start, len(content) if end is None else end)
        except (_BrokenError, IndexError) as err:
            raise DamagedError(f"its {what} is not whole") from err

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def messages(self, number: int, what: str) -> Iterator["Message"]:
        """The messages of a field; ``what`` each of them is."""
        for start, end in self._spans(number):
            yield Message(self._content, what, start, end)

    def message(self, number: int, what: str) -> "Message":
        """The message of a field, an empty one where there is none; as in protobuf, the last one counts."""
        start, end = self._spans(number)[-1] if number in self._fields else (0, 0)
        return Message(self._content, what, start, end)

    def texts(self, number: int) -> list[str]:
        """The strings of a field; what is no UTF-8 is shown as escapes."""
        return [self._content[start:end].decode("utf-8", "backslashreplace") for start, end in self._spans(number)]

    def text(self, number: int) -> str:
        """The string of a field, an empty one where there is none."""
        return next(reversed(self.texts(number)), "")

    def integers(self, number: int) -> list[int]:
        """The values of an int64 field, whether packed or one by one."""
        values: list[int] = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                values.append(_signed(value))
                continue
            at, end = value
            while at < end:
                unpacked, at = varint(self._content, at, self._what)
                values.append(_signed(unpacked))
        return values

    def integer(self, number: int, default: int = 0) -> int:
        """The value of an int64, int32 or enum field."""
        return next(reversed(self.integers(number)), default)

    def length(self, number: int) -> int:
        """The bytes that the values of a field of strings, bytes, messages or packed numbers take together."""
        return sum(end - start for start, end in self._spans(number))

    def _spans(self, number: int) -> list[tuple[int, int]]:
        spans = []
        for value in self._fields.get(number, []):
            if isinstance(value, int):
                raise DamagedError(
                    f"its {self._what} has a number in field {number}, where a string or message belongs"
                )
            spans.append(value)
        return spans


def varint(content: Content, at: int, what: str) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and the position behind it.

    Raises:
        DamagedError: it does not end; names ``what`` it belongs to.
    """
    try:
        return _varint(content, at)
    except (_BrokenError, IndexError) as err:
        raise DamagedError(f"its {what} is not whole") from err


class _BrokenError(Exception):
    """A field that leaves its message."""


def _fields(content: Content, start: int, end: int) -> dict[int, list[int | tuple[int, int]]]:
    fields: dict[int, list[int | tuple[int, int]]] = {}
    at = start
    while at < end:
        # Most keys and lengths take one byte: they do not pay for a call.
        key, at = content[at], at + 1
        if key >= 0x80:
            key, at = _varint(content, at - 1)
        number, kind = key >> 3, key & 7
        value: int | tuple[int, int]
        if kind in (_SPAN, _VARINT):
            first, at = content[at], at + 1
            if first >= 0x80:
                first, at = _varint(content, at - 1)
            value = first
            if kind == _SPAN:
                value = (at, at + first)
                at += first
        elif kind in _FIXED_BYTES:
            value = int.from_bytes(content[at : at + _FIXED_BYTES[kind]], "little")
            at += _FIXED_BYTES[kind]
        else:
            raise _BrokenError  # 3 and 4 are groups, which none of our formats has; 6 and 7 do not exist
        if number == 0 or at > end:
            raise _BrokenError
        fields.setdefault(number, []).append(value)
    return fields


def _varint(content: Content, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        byte = content[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), at + index + 1
    raise _BrokenError


def _signed(value: int) -> int:
    """An int64 from its two's complement."""
    return value - 2**64 if value >= 2**63 else value
