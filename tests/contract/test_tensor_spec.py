"""Tensors at the border of a model."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import SpecError
from contract.tensor_spec import TensorSpec

X = TensorSpec("x", "float32", ("batch", 2), minimum=0.0, maximum=1.0)

finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def specs(draw):
    dtype = draw(st.sampled_from(["float16", "float32", "float64", "int8", "int64", "bool", "object"]))
    shape = draw(st.lists(st.integers(min_value=1) | st.text(min_size=1), max_size=5))
    low, high = sorted(draw(st.tuples(finite, finite).filter(lambda ends: ends[0] != ends[1])))
    low, high = draw(st.sampled_from([(None, None), (low, None), (None, high), (low, high)]))
    return TensorSpec(draw(st.text(min_size=1)), dtype, tuple(shape), low, high)


@settings(derandomize=True, deadline=None)
@given(specs())
def test_round_trip(spec):
    assert TensorSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize("axis", [0, -1, "", None, 2.0, True])
def test_an_axis_is_a_size_or_a_name(axis):
    with pytest.raises(SpecError, match=r"tensor x: axis .* is neither a size of at least 1 nor a name"):
        TensorSpec("x", "float32", ("batch", axis))


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("nan"))])
def test_empty_range(low, high):
    with pytest.raises(SpecError, match=r"tensor x: the range .* is empty"):
        TensorSpec("x", "float32", (2,), minimum=low, maximum=high)


def test_a_tensor_has_a_name():
    with pytest.raises(SpecError, match="needs a name"):
        TensorSpec("", "float32", (2,))


def test_unknown_key():
    with pytest.raises(SpecError, match=r"not a tensor spec: .*'layout'"):
        TensorSpec.from_dict({**X.to_dict(), "layout": "NHWC"})


@pytest.mark.parametrize("key", ["name", "dtype", "shape"])
def test_missing_key(key):
    with pytest.raises(SpecError, match=f"not a tensor spec: .*'{key}'"):
        TensorSpec.from_dict({name: value for name, value in X.to_dict().items() if name != key})


@pytest.mark.parametrize(
    ("dtype", "shape", "given"),
    [
        ("float64", (1, 2), r"float64\[1, 2\]"),
        ("float32", (1, 3), r"float32\[1, 3\]"),
        ("float32", (2,), r"float32\[2\]"),
        ("float32", (1, 2, 1), r"float32\[1, 2, 1\]"),
        ("float32", (None, 3), r"float32\[\?, 3\]"),
        ("float32", (), r"float32\[\]"),
    ],
)
def test_check_says_what_was_wanted_and_given(dtype, shape, given):
    with pytest.raises(SpecError, match=rf"^here: the spec says x float32\[batch, 2\], but here it is {given}$"):
        X.check(dtype, shape, where="here")


@pytest.mark.parametrize("shape", [(1, 2), (7, 2), (None, 2), (None, None), (3, None)])
def test_what_fits_passes(shape):
    X.check("float32", shape, where="here")


def test_sizes_of_dynamic_axes():
    spec = TensorSpec("x", "float32", ("batch", 2, "length"))
    assert spec.dynamic_axes == {0: "batch", 2: "length"}
    assert spec.sized({"batch": 5, "length": 3}) == (5, 2, 3)
    with pytest.raises(KeyError, match="length"):
        spec.sized({"batch": 5})
