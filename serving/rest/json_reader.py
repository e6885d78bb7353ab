"""Reads a JSON request as TensorFlow Serving does, the common ones fast.

Three readers give equal answers, the first that is sure of a body has it:

1. orjson, where no object can have had a key twice;
2. Python's own, which keeps keys that stand twice and takes NaN, bytes that are not UTF-8, and text after the value;
3. `json_exact`, for everything else and for the texts of errors.
"""

import json
import math

import orjson

from contract.errors import Code, StatusError
from serving.rest.json_exact import parse_exactly
from serving.rest.json_values import Document, Json, Members, to_text
from serving.rest.json_writer import quote_value

__all__ = ["parse"]

_WHOLE_DIGITS = 18
"""So many digits are surely an integer of 64 bits."""

_ZERO_DIGITS = len("-0.0")
"""A longer zero may have an exponent that RapidJSON refuses."""


def parse(body: bytes) -> Document:
    """Reads a request.

    Raises:
        StatusError: INVALID_ARGUMENT: no JSON, or no object.
    """
    root = _parse_plain(body)
    if root is None:
        root = _parse_odd(body)
    if root is None:
        if not body:
            raise StatusError(Code.INVALID_ARGUMENT, "JSON Parse error: The document is empty")
        root = parse_exactly(body)
        if not isinstance(root, dict):
            raise StatusError(Code.INVALID_ARGUMENT, f"JSON Value: {quote_value(root)} Is not object")
    return Document(root, body)


def _parse_plain(body: bytes) -> dict[str, Json] | None:
    """An object as orjson reads it, None where RapidJSON may see something else."""
    try:
        root = orjson.loads(body)
    except ValueError:
        return None
    if type(root) is not dict or b"0e" in body or b"0E" in body:  # 0e999 is too big for RapidJSON
        return None
    strings = len(root)
    for value in root.values():
        if type(value) is str:
            strings += 1
    quotes = body.count(b'"')
    if quotes == 2 * strings:
        return root
    if b"\\" in body:
        return None
    try:
        written = orjson.dumps(root)  # a key that stood twice is missing, with its two quotation marks
    except (TypeError, ValueError):
        return None
    return root if written.count(b'"') == quotes else None


class _DoubtfulError(ValueError):
    """A number that the exact reader must decide on."""


def _parse_int(text: str) -> int:
    if len(text) > _WHOLE_DIGITS:
        raise _DoubtfulError
    return int(text)


def _parse_float(text: str) -> float:
    value = float(text)
    if math.isinf(value) or (value == 0 and len(text) > _ZERO_DIGITS):
        raise _DoubtfulError
    return value


def _parse_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else Members(pairs)


_decoder = json.JSONDecoder(object_pairs_hook=_parse_object, parse_int=_parse_int, parse_float=_parse_float)


def _parse_odd(body: bytes) -> dict[str, Json] | None:
    """An object as Python's json reads it, None where RapidJSON may see something else."""
    if b"\\u" in body:  # pairs of surrogates
        return None
    try:
        root, _ = _decoder.raw_decode(to_text(body.lstrip(b" \t\n\r")))
    except (ValueError, RecursionError):
        return None
    return root if isinstance(root, dict) else None
