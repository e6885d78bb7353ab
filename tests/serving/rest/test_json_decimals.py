"""Floats of replies: the recorded forms, reading back equal, and many at once as one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serving.rest.json_decimals import decimals


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("float32", 0.1, "0.1"),
        ("float32", 1234567, "1234567.0"),
        ("float32", 9e6, "9e+06"),
        ("float32", 33554433, "33554432.0"),
        ("float32", 0.333333343, "0.333333343"),
        ("float32", -0.0, "-0.0"),
        ("float32", 1e-45, "0.0"),
        ("float32", 1.17549435e-38, "1.17549435e-38"),
        ("float32", np.inf, "Infinity"),
        ("float64", 3.141592653589793, "3.1415926535897931"),
        ("float64", 5e-324, "0.0"),
        ("float64", 1.7976931348623157e308, "1.7976931348623157e+308"),
        ("float64", 9007199254740992, "9007199254740992.0"),
        ("float64", -np.inf, "-Infinity"),
        ("float64", np.nan, "NaN"),
    ],
)
def test_form(dtype, value, text):
    for size in (1, 100):
        assert decimals(np.full(size, value, dtype)) == [text] * size


@given(arrays(np.float32, 40, elements=st.floats(width=32)) | arrays(np.float64, 40, elements=st.floats()))
def test_many_are_as_one_by_one_and_read_back(array):
    texts = decimals(array)
    assert texts == [text for value in array for text in decimals(value.reshape(1))]
    tiny = np.finfo(array.dtype).tiny
    for text, value in zip(texts, array, strict=True):
        assert np.isnan(value) or array.dtype.type(float(text)) == value or abs(value) < tiny


def test_many_random_ones():
    random = np.random.default_rng(5)
    values = random.integers(0, 10**6, 3000) * 10.0 ** random.integers(-40, 30, 3000)
    for dtype in (np.float32, np.float64):
        array = values.astype(dtype)
        assert decimals(array) == [text for value in array for text in decimals(value.reshape(1))]
