"""Writing JSON: strings, values quoted in errors, and doubles."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rest.json_exact import parse_exactly
from serving.rest.json_values import Members, to_bytes
from serving.rest.json_writer import QUOTE_LIMIT, error_body, quote_string, quote_value, shortest_double


def test_strings():
    assert quote_string('a"\\/\b\f\n\r\t\x00\x1f\x7fé') == '"a\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001F\x7fé"'
    assert error_body('a "b"\udcff') == b'{\n    "error": "a \\"b\\"\xff"\n}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (1e3, "1000.0"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e300, "1.5e300"),
        (123.456, "123.456"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (-0.0, "-0.0"),
        (2.0**64, "18446744073709553000.0"),  # Grisu2 is not always the nearest
        (5e-324, "5e-324"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
    ],
)
def test_doubles(value, text):
    assert shortest_double(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_reads_back_equal(value):
    assert repr(float(shortest_double(value))) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, [2.0, []]], "b": {}}, '{\n    "a": [1, [2.0, []]],\n    "b": {}\n}'),
        ([{"x": 1}, {"y": None}], '[{\n        "x": 1\n    }, {\n        "y": null\n    }]'),
        ({"c": {"x": True}}, '{\n    "c": {\n        "x": true\n    }\n}'),
        (Members([("a", 1), ("a", 2)]), '{\n    "a": 1,\n    "a": 2\n}'),
        ("é", '"é"'),
    ],
)
def test_values(value, text):
    assert quote_value(value) == text


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(VALUES)
def test_a_value_reads_back_equal_or_is_cut(value):
    data = to_bytes(quote_value(value))
    assert len(data) <= QUOTE_LIMIT
    if len(data) < QUOTE_LIMIT:
        assert repr(parse_exactly(data)) == repr(value)
        assert json.loads(data) == value


def test_a_huge_value_is_not_written_to_be_cut():
    huge = [["x" * 1_000_000] * 1000] * 1000
    start = time.perf_counter()
    assert to_bytes(quote_value({"a": huge, "b": 1})) == (b'{\n    "a": [["' + b"x" * 1000)[:QUOTE_LIMIT]
    assert time.perf_counter() - start < 1
