"""Reading JSON: the texts and offsets of errors, odd numbers and strings, and three readers that agree."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Code, StatusError
from serving.rest import json_reader
from serving.rest.json_exact import parse_exactly
from serving.rest.json_reader import parse
from serving.rest.json_values import Members, members

INVALID = "Invalid value."

ERRORS = [
    (b"", "The document is empty"),
    (b" \n", "The document is empty. at offset: 2"),
    (b"]", "The document is empty. at offset: 0"),
    (b"{", "Missing a name for object member. at offset: 1"),
    (b'{"a"', "Missing a colon after a name of object member. at offset: 4"),
    (b'{"a":', f"{INVALID} at offset: 5"),
    (b'{"a":}', f"{INVALID} at offset: 5"),
    (b'{"a":1', "Missing a comma or '}' after an object member. at offset: 6"),
    (b'{"a":1,', "Missing a name for object member. at offset: 7"),
    (b'{"a":1 "b":2}', "Missing a comma or '}' after an object member. at offset: 7"),
    (b'{"a":[', f"{INVALID} at offset: 6"),
    (b'{"a":[1,]}', f"{INVALID} at offset: 8"),
    (b'{"a":[1}', "Missing a comma or ']' after an array element. at offset: 7"),
    (b'{"a":nul}', f"{INVALID} at offset: 8"),
    (b'{"a":-}', f"{INVALID} at offset: 6"),
    (b'{"a":-Nan}', f"{INVALID} at offset: 8"),
    (b'{"a":Infinitz}', f"{INVALID} at offset: 12"),
    (b'{"a":1.}', "Miss fraction part in number. at offset: 7"),
    (b'{"a":1e}', "Miss exponent in number. at offset: 7"),
    (b'{"a":1e+}', "Miss exponent in number. at offset: 8"),
    (b'{"a":1e309}', "Number too big to be stored in double. at offset: 5"),
    (b'{"a":0e309}', "Number too big to be stored in double. at offset: 5"),
    (b'{"a":[0.0E310,"\\n"]}', "Number too big to be stored in double. at offset: 6"),
    (b'{"a":-1' + b"0" * 309 + b"}", "Number too big to be stored in double. at offset: 5"),
    (b'{"a":"', "Missing a closing quotation mark in string. at offset: 6"),
    (b'{"a":"b\0"}', "Missing a closing quotation mark in string. at offset: 7"),
    (b'{"a":"b\n"}', "Invalid escape character in string. at offset: 7"),
    (b'{"a":"b\\x"}', "Invalid escape character in string. at offset: 7"),
    (b'{"a":"\\u12x4"}', "Incorrect hex digit after \\u escape in string. at offset: 6"),
    (b'{"a":"\\ud800\\u0041"}', "The surrogate pair in string is invalid. at offset: 6"),
    (b'{"a":[1.0,\0 2.0]}', f"{INVALID} at offset: 10"),
    (b"\xef\xbb\xbf{,}", "Missing a name for object member. at offset: 4"),
]


@pytest.mark.parametrize(("body", "text"), ERRORS, ids=range(len(ERRORS)))
def test_error(body, text):
    with pytest.raises(StatusError) as caught:
        parse(body)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert caught.value.message == f"JSON Parse error: {text}"


@pytest.mark.parametrize("body", [b"null", b"1", b"[1]", b'"a"', b"1.5 x", b"NaN"])
def test_no_object(body):
    with pytest.raises(StatusError, match=r"^INVALID_ARGUMENT: JSON Value: .* Is not object$"):
        parse(body)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"-0", 0),
        (b"-0.0", -0.0),
        (b"2147483648", 2147483648),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", 2.0**64),
        (b"-9223372036854775808", -(2**63)),
        (b"-9223372036854775809", -(2.0**63)),
        (b"1e2", 100.0),
        (b"1.5E-2", 0.015),
        (b"15e308", math.inf),  # RapidJSON looks at the exponent alone
        (b"1.5e309", math.inf),
        (b"1e-999999", 0.0),
        (b"Inf", math.inf),
        (b"-Infinity", -math.inf),
        (b"NaInf", math.inf),  # what was taken of NaN stays taken
        (b'"\\u00e9\\ud83d\\ude00\\/\\b"', "é😀/\b"),
        (b'"\xff\xc3\xa9"', "\udcffé"),
        (b'"\\udc00"', "\udced\udcb0\udc80"),
        (b"[[],{}, null ,true,false]", [[], {}, None, True, False]),
    ],
)
def test_value(text, value):
    read = parse(b' {"a":' + text + b"}x").root["a"]
    assert type(read) is type(value)
    assert repr(read) == repr(value)


def test_nan():
    assert math.isnan(parse(b'{"a":NaN}').root["a"])
    assert math.isnan(parse(b'{"a":-NaN}').root["a"])


@pytest.mark.parametrize("space", [b"", b"\\", b"\\u0020"], ids=["orjson", "json", "exact"])
def test_a_key_that_stands_twice(space):
    text = b'{"a":{"b":1,"c":3,"b":2}, "d":" "}'.replace(b'" "', b'"' + (space if space != b"\\" else b"\\n") + b'"')
    value = parse(text).root["a"]
    assert isinstance(value, Members)
    assert value["b"] == 1
    assert list(members(value)) == [("b", 1), ("c", 3), ("b", 2)]


def test_a_byte_order_mark_is_skipped():
    assert parse(b'\xef\xbb\xbf{"a":1}').root == {"a": 1}


@pytest.mark.parametrize("depth", [300, 2000, 100_000])
def test_depth(depth):
    value = parse(b'{"a":' + b"[" * depth + b"]" * depth + b"}").root["a"]
    found = 0
    while value:
        value = value[0]
        found += 1
    assert found == depth - 1
    with pytest.raises(StatusError, match="Missing a comma or ']'"):
        parse(b'{"a":' + b"[" * depth + b"1}")


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.booleans())
def test_the_readers_agree(value, ascii_only):
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    exact = parse_exactly(body)
    assert repr(exact) == repr(value)
    for tier in (json_reader._parse_plain, json_reader._parse_odd):
        read = tier(body)
        assert read is None or repr(read) == repr(exact)
    assert repr(parse(body).root) == repr(exact)


def answer(reader, body):
    """What a reader returns, and the message of what it raises."""
    try:
        return reader(body), None
    except StatusError as error:
        return None, error.message


@given(
    st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b",", b":", b'"a"', b"1", b"1.5", b"e1", b"null", b" ", b"\\"]))
)
def test_the_readers_agree_on_fragments(parts):
    body = b'{"a":' + b"".join(parts)
    (exact, error), (root, other) = answer(parse_exactly, body), answer(lambda body: parse(body).root, body)
    assert other == error
    assert repr(root) == repr(exact)
    assert getattr(root, "pairs", None) == getattr(exact, "pairs", None)
