"""What counts as equal, and what the message says where it is not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import ParityError
from contract.model_spec import Tolerance
from pipeline.verify.parity import Parity, check_parity
from pipeline.verify.probes import Kind, Probe

EXACT = Tolerance(0.0)
NAN, INF = math.nan, math.inf
INPUTS = np.array([[0.25, 0.5], [0.2, 0.9], [1, 0]], np.float32)


def compared(wanted, given, tolerance=EXACT, dtype="float32", inputs=INPUTS, kind=Kind.GOLDEN):
    """Parity of one output ``y`` of one probe."""
    wanted, given = np.array(wanted, dtype), np.array(given, dtype)
    probe = Probe(kind, "point", {"x": inputs})
    return check_parity("to_onnx in ort", [probe], {"point": {"y": wanted}}, {"point": {"y": given}}, tolerance)


def test_equal_values():
    assert compared([[0.5], [1], [-2]], [[0.5], [1], [-2]]) == Parity(0.0, 0.0, 3)


def test_what_is_measured():
    parity = compared([1, 2, 4], [1.5, 2, 3], Tolerance(1.0))
    assert parity == Parity(max_abs_diff=1.0, mean_abs_diff=0.5, values=3)


def test_what_is_measured_over_all_probes_and_tensors():
    probes = [Probe(Kind.EDGE, name, {}) for name in "ab"]
    wanted = {name: {"y": np.zeros(2), "z": np.zeros(1)} for name in "ab"}
    given = {"a": {"y": np.array([1.0, 0]), "z": np.zeros(1)}, "b": {"y": np.zeros(2), "z": np.array([-2.0])}}
    assert check_parity("hop", probes, wanted, given, Tolerance(2.0)) == Parity(2.0, 0.5, 6)


def test_a_value_at_the_tolerance_passes_and_one_above_does_not():
    compared([1.0], [1.25], Tolerance(0.25))
    with pytest.raises(ParityError):
        compared([1.0], [np.nextafter(np.float32(1.25), np.float32(2))], Tolerance(0.25))


def test_the_message_has_hop_row_values_and_tolerance():
    with pytest.raises(ParityError) as caught:
        compared([[0.5], [0.25], [1]], [[0.51], [0.75], [1.25]], Tolerance(1e-6))
    assert str(caught.value) == (
        "to_onnx in ort: y for golden input 'point', x = [0.2 0.9]: is 0.75, the step before gave 0.25, |difference| "
        "0.5 is over the tolerance of 1e-06"
    )


def test_the_message_has_a_relative_tolerance():
    with pytest.raises(ParityError, match=r"tolerance of 0\.1 \+ 0\.01 of the value$"):
        compared([100.0], [102.0], Tolerance(0.1, 0.01), kind=Kind.HUGE)


def test_the_message_shows_the_start_of_a_long_row():
    with pytest.raises(ParityError) as caught:
        compared([[0.5]], [[0.75]], inputs=np.zeros((1, 100_000), np.float32))
    assert "..." in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_the_message_of_an_image_is_one_line():
    with pytest.raises(ParityError) as caught:
        compared([[0.5]], [[0.75]], inputs=np.ones((1, 8, 8, 3), np.float32))
    assert "\n" not in str(caught.value)


def test_the_worst_probe_is_named():
    probes = [Probe(Kind.RANDOM, name, {"x": np.array([[number]])}) for number, name in enumerate("abc")]
    wanted = {name: {"y": np.zeros((1, 1))} for name in "abc"}
    given = {name: {"y": np.full((1, 1), value)} for name, value in (("a", 1.0), ("b", -3.0), ("c", 2.0))}
    with pytest.raises(ParityError, match=r"^hop: y for random input 'b', x = \[1\]: is -3, .*\|difference\| 3 is"):
        check_parity("hop", probes, wanted, given, Tolerance(0.5))


def test_worst_is_what_exceeds_the_tolerance_most():
    with pytest.raises(ParityError, match=r"x = \[0\.25 0\.5 \]: is 2, the step before gave 1,"):
        compared([[1.0], [1000.0], [0.0]], [[2.0], [1002.0], [0.5]], Tolerance(0.0, 0.01))


def test_relative_tolerance_is_of_the_expected_value():
    compared([-100.0], [-101.0], Tolerance(0.0, 0.01))
    with pytest.raises(ParityError):
        compared([100.0], [101.5], Tolerance(0.0, 0.01))
    with pytest.raises(ParityError):
        compared([0.0], [1e-9], Tolerance(0.0, 0.5))


@pytest.mark.parametrize("tolerance", [EXACT, Tolerance(1e30), Tolerance(0.0, 1e30), Tolerance(1.0, 1.0)])
@pytest.mark.parametrize(
    ("wanted", "given"),
    [(NAN, 1.0), (1.0, NAN), (INF, 1.0), (1.0, INF), (-INF, 1.0), (INF, -INF), (INF, NAN), (NAN, INF), (NAN, 0.0)],
)
def test_nan_or_infinity_on_one_side_is_over_every_tolerance(wanted, given, tolerance):
    with pytest.raises(ParityError, match=rf"is {given:g}, the step before gave {wanted:g}, \|difference\| inf"):
        compared([0.5, wanted, 0.5], [0.5, given, 0.5], tolerance)


@pytest.mark.parametrize("tolerance", [EXACT, Tolerance(1e-6, 1e-3)])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nan_or_infinity_on_both_sides_is_equal(value, tolerance):
    assert compared([0.5, value], [0.5, value], tolerance) == Parity(0.0, 0.0, 2)


@pytest.mark.parametrize("tolerance", [EXACT, Tolerance(1e-6, 1e-3)])
@pytest.mark.parametrize("value", [NAN, INF])
def test_equal_nan_or_infinity_hides_no_other_difference(value, tolerance):
    with pytest.raises(ParityError, match=r"is 0\.75, the step before gave 0\.5"):
        compared([value, 0.5, value], [value, 0.75, value], tolerance)


def test_zeros_of_both_signs_are_equal():
    assert compared([0.0, -0.0], [-0.0, 0.0]) == Parity(0.0, 0.0, 2)


def test_missing_tensor():
    probe = Probe(Kind.GOLDEN, "point", {})
    with pytest.raises(ParityError, match=r"hop: y for golden input 'point': is not among the outputs \['z'\]"):
        check_parity("hop", [probe], {"point": {"y": np.zeros(1)}}, {"point": {"z": np.zeros(1)}}, EXACT)


@pytest.mark.parametrize("given", [np.zeros((2, 1)), np.zeros((1, 2), np.float32), np.zeros(2, np.float32)])
def test_wrong_dtype_or_shape(given):
    probe = Probe(Kind.GOLDEN, "point", {})
    is_ = rf"is {given.dtype}\[{', '.join(map(str, given.shape))}\]"
    with pytest.raises(ParityError, match=rf"{is_}, the step before gave float32\[2, 1\]"):
        check_parity("hop", [probe], {"point": {"y": np.zeros((2, 1), np.float32)}}, {"point": {"y": given}}, EXACT)


def test_integers():
    assert compared([1, 2], [1, 3], Tolerance(1.0), dtype="int64") == Parity(1.0, 0.5, 2)
    with pytest.raises(ParityError, match="is 3, the step before gave 2"):
        compared([1, 2], [1, 3], dtype="int64")


def test_booleans():
    assert compared([True, False], [True, False], dtype="bool") == Parity(0.0, 0.0, 2)
    with pytest.raises(ParityError, match=r"is True at \[1\], the step before gave False"):
        compared([True, False], [True, True], dtype="bool")


def test_scalars():
    with pytest.raises(ParityError, match="is 2, the step before gave 1"):
        compared(1.0, 2.0)


def test_no_values_are_equal():
    assert compared(np.zeros((0, 1)), np.zeros((0, 1))) == Parity(0.0, 0.0, 0)


finite = st.floats(-1e6, 1e6, width=32)


@settings(derandomize=True, deadline=None)
@given(
    pairs=st.lists(st.tuples(finite, finite), min_size=1, max_size=5),
    atol=st.floats(0, 1e6),
    rtol=st.floats(0, 2),
)
def test_agrees_with_the_definition(pairs, atol, rtol):
    """``|actual - expected| <= atol + rtol * |expected|`` for each value."""
    wanted, given = (np.array(side, np.float32) for side in zip(*pairs, strict=True))
    fits = all(abs(g - w) - (atol + rtol * abs(w)) <= 0 for w, g in zip(wanted.tolist(), given.tolist(), strict=True))
    if fits:
        largest = max(abs(g - w) for w, g in zip(wanted.tolist(), given.tolist(), strict=True))
        assert compared(wanted, given, Tolerance(atol, rtol)).max_abs_diff == largest
    else:
        with pytest.raises(ParityError):
            compared(wanted, given, Tolerance(atol, rtol))


def test_strings():
    words = np.array([b"cat", b"dog"], object)
    assert compared(words, words.copy(), dtype="object") == Parity(0.0, 0.0, 2)
    with pytest.raises(ParityError, match=r"is b'cow' at \[1\], the step before gave b'dog'"):
        compared(words, [b"cat", b"cow"], dtype="object")


def test_a_part_of_the_largest_value_of_the_tensor():
    allowed = Tolerance(of_largest=0.25)
    compared([0.0, 8.0], [2.0, 8.0], allowed)
    with pytest.raises(ParityError, match=r"over the tolerance of 0\.25 of the largest value"):
        compared([0.0, 8.0], [2.5, 8.0], allowed)
    with pytest.raises(ParityError):
        compared([0.0, NAN], [0.1, NAN], allowed)
