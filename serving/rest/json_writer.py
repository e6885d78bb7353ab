"""Writes JSON in the layout of RapidJSON's PrettyWriter: strings, error bodies, and values that errors quote."""

import math
import re
from collections.abc import Iterator

from serving.rest.json_grisu import digits_of
from serving.rest.json_values import Json, members, to_bytes, to_text

__all__ = ["QUOTE_LIMIT", "error_body", "quote_string", "quote_value", "shortest_double"]

QUOTE_LIMIT = 256
"""Bytes of a value that an error quotes."""

_ODD = re.compile(r'["\\\x00-\x1f]')
_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_END: Json = object()
_WORDS = {None: "null", True: "true", False: "false"}


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT.get(character) or f"\\u{ord(character):04X}"


def quote_string(text: str) -> str:
    """A string with its quotation marks."""
    return f'"{_ODD.sub(_escape, text)}"'


def error_body(message: str) -> bytes:
    """The reply to a call that failed."""
    return to_bytes(f'{{\n    "error": {quote_string(message)}\n}}')


def shortest_double(value: float) -> str:
    """A double as RapidJSON writes it."""
    if math.isnan(value):
        return "NaN"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if math.isinf(value):
        return f"{sign}Infinity"
    if value == 0:
        return f"{sign}0.0"
    digits, power = digits_of(abs(value))
    point = len(digits) + power
    if power >= 0 and point <= 21:
        return f"{sign}{digits}{'0' * power}.0"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1}"


def quote_value(value: Json) -> str:
    """A value as errors quote it: arrays in one line, cut at `QUOTE_LIMIT` bytes; reads no more of it than that."""
    size = 0
    parts = []
    for part in _pieces(value):
        data = to_bytes(part)
        parts.append(data)
        size += len(data)
        if size >= QUOTE_LIMIT:
            break
    return to_text(b"".join(parts)[:QUOTE_LIMIT])


def _pieces(value: Json) -> Iterator[str]:
    """The text of a value, bit by bit."""
    levels: list[tuple[Iterator[Json], str]] = []
    prefix = ""
    while True:
        if isinstance(value, list) and value:
            yield f"{prefix}["
            levels.append((iter(value), "]"))
            separator = ""
        elif isinstance(value, dict) and value:
            yield f"{prefix}{{"
            levels.append((iter(members(value)), "}"))
            separator = ""
        else:
            yield prefix + _leaf(value)
            separator = ","
        while levels:
            items, end = levels[-1]
            item = next(items, _END)
            if item is not _END:
                break
            levels.pop()
            yield end if end == "]" else f"\n{'    ' * len(levels)}}}"
            separator = ","
        else:
            return
        if end == "]":
            value = item
            prefix = f"{separator} " if separator else ""
        else:
            key, value = item
            prefix = f"{separator}\n{'    ' * len(levels)}{quote_string(key[:QUOTE_LIMIT])}: "


def _leaf(value: Json) -> str:
    if isinstance(value, str):
        return quote_string(value if len(value) <= QUOTE_LIMIT else value[:QUOTE_LIMIT])
    if isinstance(value, float):
        return shortest_double(value)
    if isinstance(value, list):
        return "[]"
    if isinstance(value, dict):
        return "{}"
    return _WORDS[value] if value is None or isinstance(value, bool) else str(value)
