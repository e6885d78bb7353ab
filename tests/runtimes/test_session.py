"""The checks before a run, and the names of dynamic axes."""

import numpy as np
import pytest

from contract.errors import SpecError
from contract.tensor_spec import TensorSpec
from runtimes import ANY_RANK
from runtimes.session import check_inputs, named_axes

A = TensorSpec("a", "float32", ("batch", 2))
B = TensorSpec("b", "float32", ("batch",))
TEXT = TensorSpec("text", "object", ("n",))


def zeros(*shape):
    return np.zeros(shape, np.float32)


def test_inputs_come_in_the_order_of_the_specs():
    arrays = check_inputs("m", (A, B), {"b": zeros(3), "a": zeros(3, 2)})
    assert [array.shape for array in arrays] == [(3, 2), (3,)]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "m: the inputs are a, b; given: none"),
        ({"a": zeros(1, 2)}, "m: the inputs are a, b; given: a"),
        ({"a": zeros(1, 2), "c": zeros(1)}, "m: the inputs are a, b; given: a, c"),
        ({"a": zeros(1, 2), "b": zeros(1), "c": zeros(1)}, "m: the inputs are a, b; given: a, b, c"),
        (
            {"a": zeros(1, 2).astype(np.float64), "b": zeros(1)},
            r"m: input a: wanted a float32\[batch, 2\], given float64\[1, 2\]",
        ),
        ({"a": zeros(1, 3), "b": zeros(1)}, r"m: input a: wanted a float32\[batch, 2\], given float32\[1, 3\]"),
        ({"a": zeros(2), "b": zeros(1)}, r"m: input a: wanted a float32\[batch, 2\], given float32\[2\]"),
        ({"a": zeros(4, 2), "b": zeros(5)}, r"input b: wanted b float32\[batch\] where batch is 4, given float32\[5\]"),
    ],
)
def test_wrong_inputs_are_named(inputs, message):
    with pytest.raises(SpecError, match=message):
        check_inputs("m", (A, B), inputs)


def test_layout_and_byte_order_are_made_the_machine_s():
    value = np.arange(6, dtype=">f4").reshape(2, 3).T
    (array,) = check_inputs("m", (A,), {"a": value})
    assert array.flags.c_contiguous
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, [[0, 3], [1, 4], [2, 5]])


def test_a_scalar_stays_one():
    (array,) = check_inputs("m", (TensorSpec("s", "int64", ()),), {"s": np.array(3)})
    assert array.shape == ()


def test_strings_are_bytes():
    assert check_inputs("m", (TEXT,), {"text": np.array([b"x"], object)})[0].tolist() == [b"x"]
    with pytest.raises(SpecError, match="input text: wanted strings as bytes, given int, str"):
        check_inputs("m", (TEXT,), {"text": np.array(["x", b"y", 1], object)})
    with pytest.raises(SpecError, match=r"wanted text object\[n\], given bytes8\[1\]"):
        check_inputs("m", (TEXT,), {"text": np.array([b"x"])})


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3)])
def test_any_rank_fits(shape):
    check_inputs("m", (TensorSpec("a", "float32", ANY_RANK),), {"a": zeros(*shape)})


def test_dynamic_axes_get_names_that_the_file_does_not_use():
    shapes: list[list[int | str | None] | None] = [[None, 2, "axis1"], [-1, "batch"], None, [], ["", 4]]
    assert named_axes(shapes) == [("axis0", 2, "axis1"), ("axis2", "batch"), ANY_RANK, (), ("axis3", 4)]
