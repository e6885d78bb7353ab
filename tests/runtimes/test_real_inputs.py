"""Inputs from JSON and .npz, and outputs to JSON; a stand-in says what it wants, nothing is run."""

import io
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from contract.errors import SpecError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes.quantization import Quantization
from runtimes.real_inputs import fitted, json_outputs, read_values, short_text


def wants(**dtypes):
    """A session with these inputs, each of any size."""
    return SimpleNamespace(
        inputs=tuple(TensorSpec(name, dtype, ("n",)) for name, dtype in dtypes.items()), quantization={}
    )


def given(text, session, **options):
    return fitted(read_values(text), session, **options)


@pytest.mark.parametrize(
    ("dtype", "text", "wanted"),
    [
        ("float32", "[[1, 0.1], [-0.0, 1e-3]]", [[1, 0.1], [-0.0, 1e-3]]),
        ("float16", "[65504]", [65504]),
        ("float64", "[1e300, Infinity]", [1e300, np.inf]),
        ("int8", "[-128, 127]", [-128, 127]),
        ("uint64", "[18446744073709551615]", [2**64 - 1]),
        ("bool", "[true, false]", [True, False]),
        ("float32", "[]", []),
        ("float32", "[[], []]", [[], []]),
    ],
)
def test_json_becomes_the_dtype_that_is_wanted(dtype, text, wanted):
    [(name, array)] = given(text, wants(x=dtype)).items()
    assert (name, array.dtype.name) == ("x", dtype)
    np.testing.assert_array_equal(array, np.array(wanted, dtype))


def test_a_scalar_and_several_inputs_by_name():
    arrays = given('{"a": 3, "b": [1, 2]}', wants(b="int64", a="float32"))
    assert (arrays["a"].shape, arrays["a"].dtype.name, arrays["b"].tolist()) == ((), "float32", [1, 2])


def test_strings_are_utf_8_or_base64():
    [array] = given('["ä", {"b64": "/wA="}]', wants(x="object")).values()
    assert array.tolist() == ["ä".encode(), b"\xff\x00"]


def test_a_quantized_input_takes_real_numbers():
    session = wants(x="int8")
    session.quantization["x"] = Quantization(0.5, 0, "int8")
    assert given("[0.25]", session)["x"].dtype.name == "float32"
    with pytest.raises(SpecError, match=r"the inputs are x float32\[n\] \(int8 in the file\)"):
        given('{"y": 1}', session)


@pytest.mark.parametrize(
    ("dtype", "text", "message"),
    [
        ("int32", "[1.0]", "input x: wanted int32, given a number with a fraction"),
        ("int32", "[true]", "input x: wanted int32, given a boolean"),
        ("bool", "[1]", "input x: wanted bool, given an integer"),
        ("float32", '["1"]', "input x: wanted float32, given a string"),
        ("float32", "[null]", "input x: wanted float32, given null"),
        ("float32", '[{"b64": ""}]', "input x: wanted float32, given an object"),
        ("object", "[1]", "input x: wanted object, given an integer"),
        ("object", '[{"b64": "?"}]', "input x: no text and no base64"),
        ("object", '[{"b64": 1}]', "input x: no text and no base64"),
        ("object", '[{"c": "a"}]', 'input x: an object in a tensor of strings is {"b64": "..."}'),
        ("object", '["\\ud800"]', "input x: no text and no base64"),
        ("int8", "[1, 128]", "input x: 128 is outside the range of int8"),
        ("uint8", "[-1]", "input x: -1 is outside the range of uint8"),
        ("float32", "[1e39]", "input x: 1e+39 is outside the range of float32"),
        ("float64", f"[1{'0' * 400}]", "input x: an integer is outside the range of float64"),
        ("complex64", "[1]", "input x: JSON has no complex64; give a .npz file"),
        ("float32", "[[1, 2], [3]]", "input x: its lists are not of one length"),
        ("float32", "[[1, 2], 3]", "input x: its lists are not of one length"),
        ("float32", "[" * 40 + "]" * 40, "nested more than 32 deep"),
        ("float32", "[[1, NaN]]", "input x: NaN at [0, 1]; --allow-nan lets it pass"),
    ],
)
def test_a_value_that_does_not_fit_is_named(dtype, text, message):
    with pytest.raises(SpecError) as caught:
        given(text, wants(x=dtype))
    assert message in str(caught.value)


def test_nan_passes_when_it_may():
    assert np.isnan(given("[NaN]", wants(x="float32"), allow_nan=True)["x"]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"x": 1, "a": 1}', "missing b; unknown x; the inputs are a float32[n], b int64[n]"),
        ('{"a": 1, "b": 2, "c": 3}', "unknown c; the inputs are a float32[n], b int64[n]"),
        ("{}", "missing a, b; the inputs are"),
        ("[1]", "a bare list is for a model with one input; the inputs are a float32[n], b int64[n]"),
    ],
)
def test_other_names_than_the_model_s(text, message):
    with pytest.raises(SpecError) as caught:
        given(text, wants(a="float32", b="int64"))
    assert message in str(caught.value)


def test_a_model_without_inputs():
    assert given("{}", wants()) == {}
    with pytest.raises(SpecError, match="unknown x; the model has no inputs"):
        given('{"x": 1}', wants())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "--input: no JSON: Expecting ',' delimiter at line 1, column 6"),
        ('{"x":\n [1 2]}', "--input: no JSON: Expecting ',' delimiter at line 2, column 5"),
        ('{"x": 1, "x": 2}', "--input: 'x' is given twice"),
        ("[" * 100_000, "--input: nested too deeply"),
        ("[" + "1" * 5000 + "]", "--input: Exceeds the limit"),
    ],
)
def test_text_that_is_no_json(text, message):
    with pytest.raises(SpecError) as caught:
        read_values(text)
    assert message in str(caught.value)


def test_json_in_a_file(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"x": [1]}')
    assert read_values(str(path)) == {"x": [1]}
    path.write_text('\n"text"')
    with pytest.raises(SpecError, match=r"x\.json: wanted a JSON object or list, given a string"):
        read_values(str(path))
    path.write_text("{\n]")
    with pytest.raises(SpecError, match=r"x\.json: no JSON: .* at line 2, column 1"):
        read_values(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"x\.json: neither \.npz nor JSON in UTF-8"):
        read_values(str(path))
    with pytest.raises(UsageError, match="absent: there is no such file"):
        read_values(str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="there is no such file"):
        read_values(str(tmp_path))


def from_npz(path, array, dtype):
    np.savez(path, x=array)
    return fitted(read_values(str(path)), wants(x=dtype))["x"]


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([0.1, np.inf], np.float32), "float64"),
        (np.array([0.5, -3.0]), "float32"),
        (np.array([1, -(2**24)]), "float32"),
        (np.array([255], np.int64), "uint8"),
        (np.array([2**64 - 1], np.uint64), "uint64"),
        (np.array([True]), "bool"),
        (np.array([1 + 2j], np.complex64), "complex128"),
        (np.array([1.5], ">f4"), "float32"),
    ],
)
def test_an_array_is_cast_where_no_value_changes(tmp_path, array, dtype):
    cast = from_npz(tmp_path / "x.npz", array, dtype)
    assert cast.dtype.name == dtype
    assert cast.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (np.array([0.5, 0.1]), "float32", "input x: 0.1 is not exact in float32, given float64"),
        (np.array([1e300]), "float32", "input x: 1e+300 is not exact in float32, given float64"),
        (np.array([2**24 + 1]), "float32", "input x: 16777217 is not exact in float32, given int64"),
        (np.array([256]), "uint8", "input x: 256 is not exact in uint8, given int64"),
        (np.array([-1]), "uint64", "input x: -1 is not exact in uint64, given int64"),
        (np.array([2**63], np.uint64), "int64", "input x: 9223372036854775808 is not exact in int64, given uint64"),
        (np.array([1.0]), "int32", "input x: wanted int32, given float64"),
        (np.array([True]), "int32", "input x: wanted int32, given bool"),
        (np.array([1]), "bool", "input x: wanted bool, given int64"),
        (np.array([1j]), "float32", "input x: wanted float32, given complex128"),
        (np.array(["1"]), "float32", "input x: wanted float32, given str"),
        (np.array([np.nan]), "float32", "input x: NaN at [0]"),
    ],
)
def test_an_array_whose_values_would_change_is_refused(tmp_path, array, dtype, message):
    with pytest.raises(SpecError) as caught:
        from_npz(tmp_path / "x.npz", array, dtype)
    assert message in str(caught.value)


def test_arrays_of_text_become_strings(tmp_path):
    assert from_npz(tmp_path / "x.npz", np.array(["ä", "b"]), "object").tolist() == ["ä".encode(), b"b"]
    assert from_npz(tmp_path / "x.npz", np.array([b"\xff"]), "object").tolist() == [b"\xff"]


def test_a_pickle_in_an_npz_file_is_not_opened(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "was here"), "w"))

    np.savez(tmp_path / "x.npz", x=np.array([Harmful()], object))
    (tmp_path / "was here").unlink(missing_ok=True)
    with pytest.raises(SpecError, match=r"x\.npz: cannot be read: Object arrays cannot be loaded"):
        read_values(str(tmp_path / "x.npz"))
    assert not (tmp_path / "was here").exists()


def test_a_damaged_npz_file(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.arange(1000.0))
    whole = path.read_bytes()
    for content in (whole[:200], whole[:60] + b"\xff" * 40 + whole[100:], b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(SpecError, match=r"x\.npz: cannot be read: "):
            read_values(str(path))


def test_an_array_that_states_more_than_there_is(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(SpecError, match=r"x\.npz: cannot be read: "):
        read_values(str(tmp_path / "x.npz"))


def test_outputs_become_json():
    strings = np.empty(2, object)
    strings[:] = [b"a", b"\xff"]
    outputs = {"y": np.array([[0.5]], np.float32), "n": np.int64(3), "s": strings, "c": np.array([1 + 2j])}
    values = json.loads(json.dumps(json_outputs({name: np.asarray(value) for name, value in outputs.items()})))
    assert values == {"y": [[0.5]], "n": 3, "s": ["a", {"b64": "/w=="}], "c": [[1.0, 2.0]]}


def test_a_large_array_is_shortened():
    assert "..." in short_text(np.arange(1000))
    assert short_text(np.array([[0.25, 1]])) == "[[0.25, 1.  ]]"
