"""The exact reader: RapidJSON 1.1's answers, offsets of errors included, at any depth; slow.

Flags of the original: NaN and infinities are numbers, reading stops after the first value, no recursion. A zero byte
ends the text. Strings are not checked to be UTF-8.
"""

import re
from typing import NoReturn

from contract.errors import Code, StatusError
from serving.rest.json_values import Json, Members, to_text

__all__ = ["parse_exactly"]

_SPACE = re.compile(rb"[ \t\n\r]*")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_ESCAPES = {
    ord('"'): b'"',
    ord("\\"): b"\\",
    ord("/"): b"/",
    ord("b"): b"\b",
    ord("f"): b"\f",
    ord("n"): b"\n",
    ord("r"): b"\r",
    ord("t"): b"\t",
}
_WORDS: dict[int, tuple[bytes, Json]] = {
    ord("n"): (b"null", None),
    ord("t"): (b"true", True),
    ord("f"): (b"false", False),
}
_OPEN_ARRAY, _OPEN_OBJECT, _CLOSE_ARRAY, _CLOSE_OBJECT, _QUOTE, _COMMA, _COLON = b'[{]}",:'
_NO_VALUE = (_CLOSE_ARRAY, _CLOSE_OBJECT, _COMMA, _COLON, 0)
_TENTH_OF_MAXIMUM = 1.7976931348623157e307

_INVALID = "Invalid value."
_MISS_NAME = "Missing a name for object member."
_MISS_COLON = "Missing a colon after a name of object member."
_MISS_CURLY = "Missing a comma or '}' after an object member."
_MISS_SQUARE = "Missing a comma or ']' after an array element."
_BAD_HEX = "Incorrect hex digit after \\u escape in string."
_BAD_PAIR = "The surrogate pair in string is invalid."
_BAD_ESCAPE = "Invalid escape character in string."
_MISS_QUOTE = "Missing a closing quotation mark in string."
_TOO_BIG = "Number too big to be stored in double."
_MISS_FRACTION = "Miss fraction part in number."
_MISS_EXPONENT = "Miss exponent in number."


def parse_exactly(body: bytes) -> Json:
    """Reads the first value of a text.

    Raises:
        StatusError: INVALID_ARGUMENT with RapidJSON's text.
    """
    return _Reader(body).document()


def _fail(text: str, offset: int) -> NoReturn:
    raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {text} at offset: {offset}")


class _Reader:
    """A place in a text.

    Attributes:
        at: offset of the next byte.
    """

    def __init__(self, body: bytes) -> None:
        end = body.find(b"\0")
        self._text = body if end < 0 else body[:end]
        self.at = 0
        for mark in b"\xef\xbb\xbf":  # a byte order mark, or any part of one
            if self._peek() == mark:
                self.at += 1

    def document(self) -> Json:
        """The first value."""
        first = self._skip()
        if first in _NO_VALUE:
            _fail("The document is empty.", self.at)
        if first not in (_OPEN_ARRAY, _OPEN_OBJECT):
            return self._scalar(first)
        done: Json = None
        stack: list[list[Json]] = []  # of arrays the elements, of objects keys and values in turn
        kinds = bytearray()
        closing = False
        while True:
            if closing:  # a value is complete: done
                if not stack:
                    return done
                stack[-1].append(done)
                closing = False
                token = self._skip()
                if token == _COMMA:
                    self.at += 1
                    token = self._skip()
                    if kinds[-1] == _OPEN_OBJECT:
                        self._key(token, stack[-1])
                        token = self._skip()
                elif token == (_CLOSE_ARRAY if kinds[-1] == _OPEN_ARRAY else _CLOSE_OBJECT):
                    self.at += 1
                    done, closing = _finish(kinds.pop(), stack.pop()), True
                    continue
                else:
                    _fail(_MISS_SQUARE if kinds[-1] == _OPEN_ARRAY else _MISS_CURLY, self.at)
            else:
                token = self._skip()
            if token in (_OPEN_ARRAY, _OPEN_OBJECT):
                self.at += 1
                stack.append([])
                kinds.append(token)
                following = self._skip()
                if following == (_CLOSE_ARRAY if token == _OPEN_ARRAY else _CLOSE_OBJECT):
                    self.at += 1
                    done, closing = _finish(kinds.pop(), stack.pop()), True
                elif token == _OPEN_OBJECT:
                    self._key(following, stack[-1])
            else:
                done, closing = self._scalar(token), True

    def _peek(self) -> int:
        return self._text[self.at] if self.at < len(self._text) else 0

    def _skip(self) -> int:
        match = _SPACE.match(self._text, self.at)
        assert match is not None  # it may be empty
        self.at = match.end()
        return self._peek()

    def _take(self, expected: bytes) -> bool:
        """Takes the bytes one by one as long as they are the expected ones; true if all were."""
        for byte in expected:
            if self._peek() != byte:
                return False
            self.at += 1
        return True

    def _key(self, token: int, into: list[Json]) -> None:
        if token != _QUOTE:
            _fail(_MISS_NAME, self.at)
        into.append(self._string())
        if self._skip() != _COLON:
            _fail(_MISS_COLON, self.at)
        self.at += 1

    def _scalar(self, token: int) -> Json:
        if token == _QUOTE:
            return self._string()
        if token in _WORDS:
            word, value = _WORDS[token]
            if not self._take(word):
                _fail(_INVALID, self.at)
            return value
        return self._number()

    def _string(self) -> str:
        self.at += 1
        parts = []
        while True:
            match = _PLAIN.match(self._text, self.at)
            assert match is not None  # it may be empty
            parts.append(match.group())
            self.at = match.end()
            byte = self._peek()
            if byte == _QUOTE:
                self.at += 1
                return to_text(b"".join(parts))
            if byte == 0:
                _fail(_MISS_QUOTE, self.at)
            if byte != ord("\\"):
                _fail(_BAD_ESCAPE, self.at)
            parts.append(self._escape())

    def _escape(self) -> bytes:
        start = self.at
        self.at += 1
        byte = self._peek()
        self.at += 1
        if byte in _ESCAPES:
            return _ESCAPES[byte]
        if byte != ord("u"):
            _fail(_BAD_ESCAPE, start)
        point = self._hex(start)
        if 0xD800 <= point <= 0xDBFF:
            if not self._take(b"\\u"):
                _fail(_BAD_PAIR, start)
            low = self._hex(start)
            if not 0xDC00 <= low <= 0xDFFF:
                _fail(_BAD_PAIR, start)
            point = 0x10000 + ((point - 0xD800) << 10 | low - 0xDC00)
        return chr(point).encode("utf-8", "surrogatepass")

    def _hex(self, start: int) -> int:
        match = _HEX.match(self._text, self.at)
        if match is None:
            _fail(_BAD_HEX, start)
        self.at = match.end()
        return int(match.group(), 16)

    def _number(self) -> int | float:
        start = self.at
        match = _INTEGER.match(self._text, start)
        if match is None:
            return self._word_number()
        self.at = match.end()
        integer = match.group()
        whole = len(integer) <= 20 and -(2**63) <= int(integer) < 2**64
        if len(integer) > 308 and abs(float(integer[:-1])) >= _TENTH_OF_MAXIMUM:
            _fail(_TOO_BIG, start)
        fraction = b""
        if self._take(b"."):
            fraction = self._digits(_MISS_FRACTION)
        exponent = b""
        if self._peek() in b"eE":
            self.at += 1
            negative = self._peek() == ord("-")
            if self._peek() in b"+-":
                self.at += 1
            exponent = self._digits(_MISS_EXPONENT)
            if not negative and len(exponent) > 1:
                power = exponent.lstrip(b"0") or b"0"
                if len(power) > 9 or int(power) > 308 + _used_digits(integer, fraction, whole=whole):
                    _fail(_TOO_BIG, start)
        if whole and not fraction and not exponent:
            return int(integer)
        return float(self._text[start : self.at])

    def _digits(self, missing: str) -> bytes:
        match = _DIGITS.match(self._text, self.at)
        assert match is not None  # it may be empty
        if not match.group():
            _fail(missing, self.at)
        self.at = match.end()
        return match.group()

    def _word_number(self) -> float:
        sign = -1.0 if self._take(b"-") else 1.0
        if self._peek() not in b"IN":
            _fail(_INVALID, self.at)
        if self._take(b"NaN"):
            return float("nan")
        if not self._take(b"Inf"):  # what was taken of NaN stays taken, as in the original
            _fail(_INVALID, self.at)
        if self._peek() == ord("i") and not self._take(b"inity"):
            _fail(_INVALID, self.at)
        return sign * float("inf")


def _finish(kind: int, items: list[Json]) -> Json:
    if kind == _OPEN_ARRAY:
        return items
    value = dict(zip(items[::2], items[1::2], strict=True))
    return value if 2 * len(value) == len(items) else Members(list(zip(items[::2], items[1::2], strict=True)))


def _used_digits(integer: bytes, fraction: bytes, *, whole: bool) -> int:
    """How many digits of a fraction RapidJSON reads: all up to 53 bits, then until 17 have counted."""
    digits = integer.lstrip(b"-")
    value = int(digits) if whole else 2**53
    significant = len(digits) - 1
    used = 0
    for digit in fraction:
        if value < 2**53:
            value = value * 10 + digit - ord("0")
        elif significant >= 17:
            break
        used += 1
        significant += value != 0
    return used
