"""Quantization at the border of a model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import SpecError
from contract.tensor_spec import TensorSpec
from runtimes import Quantization, dequantize, quantize, run_real
from runtimes.session import Session

DTYPES = ("int8", "uint8", "int16")


@st.composite
def quantizations(draw):
    dtype = draw(st.sampled_from(DTYPES))
    zero_point = draw(st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max))
    return Quantization(draw(st.floats(1e-6, 1e3, allow_subnormal=False)), zero_point, dtype)


@given(quantizations(), st.lists(st.floats(0, 1), min_size=1))
def test_error_is_half_a_step_inside_the_range(quantization, fractions):
    low = quantization.scale * (quantization.lowest - quantization.zero_point)
    high = quantization.scale * (quantization.highest - quantization.zero_point)
    values = low + np.array(fractions) * (high - low)
    back = dequantize(quantize(values, quantization), quantization)
    slack = np.finfo(np.float32).eps * max(abs(low), abs(high))  # the result is float32
    assert np.abs(back - values).max() <= quantization.scale / 2 + slack


@given(quantizations(), st.data())
def test_integers_round_trip(quantization, data):
    integers = st.integers(quantization.lowest, quantization.highest)
    values = np.array(data.draw(st.lists(integers)), quantization.dtype)
    back = quantize(dequantize(values, quantization), quantization)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("dtype", [*DTYPES, "int32"])
def test_values_outside_the_range_clip(dtype):
    quantization = Quantization(0.5, 3, dtype)
    values = quantize(np.array([-np.inf, -1e30, 1e30, np.inf]), quantization)
    info = np.iinfo(dtype)
    assert values.tolist() == [info.min, info.min, info.max, info.max]


def test_zero_is_exact():
    assert dequantize(quantize(np.zeros(1), Quantization(0.1, -7, "int8")), Quantization(0.1, -7, "int8")) == 0


def test_nan_is_refused():
    with pytest.raises(SpecError, match="NaN has no int8 value"):
        quantize(np.array([np.nan]), Quantization(1.0, 0, "int8"))


@pytest.mark.parametrize(
    ("scale", "zero_point", "dtype", "message"),
    [
        (0.0, 0, "int8", "scale 0.0"),
        (float("nan"), 0, "int8", "scale nan"),
        (float("inf"), 0, "int8", "scale inf"),
        (1.0, 128, "int8", "zero point 128"),
        (1.0, 0, "float32", "quantized to float32"),
    ],
)
def test_impossible_parameters_are_refused(scale, zero_point, dtype, message):
    with pytest.raises(SpecError, match=message):
        Quantization(scale, zero_point, dtype)


class Doubled(Session):
    """Gives its input ``q`` back in twice as large steps, and ``plain`` as it is."""

    runtime = "fake"
    inputs = (TensorSpec("q", "int8", (2,)), TensorSpec("plain", "float32", (1,)))
    outputs = (TensorSpec("out", "int8", (2,)), TensorSpec("same", "float32", (1,)))

    def __init__(self):
        self.quantization = {"q": Quantization(0.5, 1, "int8"), "out": Quantization(1.0, 1, "int8")}

    def run(self, inputs):
        assert inputs["q"].dtype == np.int8
        return {"out": inputs["q"], "same": inputs["plain"]}

    def close(self):
        pass


def test_run_real_quantizes_what_is_quantized():
    result = run_real(Doubled(), {"q": np.array([1.0, -2.5]), "plain": np.array([0.3], np.float32)})
    assert result["out"].tolist() == [2.0, -5.0]
    assert result["same"].tolist() == [np.float32(0.3)]
