"""Predict: requests into tensors, quickly and exactly, and tensors into replies."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import Code, StatusError
from runtimes.tensor import NUMPY_TYPES, DataType, Tensor
from serving.rest import predict_body
from serving.rest.json_quick_tensor import QuickTensors
from serving.rest.json_reader import parse
from serving.rest.json_tensor import decode_base64, fill, to_tensor
from serving.rest.predict_body import Format, inputs, outputs


def read(body, **dtypes):
    infos = {name: SimpleNamespace(dtype=dtype) for name, dtype in dtypes.items()}
    return inputs(parse(body), infos)


def refusal(body, **dtypes):
    with pytest.raises(StatusError) as caught:
        read(body, **dtypes)
    return caught.value.message


def tensor(values, dtype=DataType.FLOAT):
    return Tensor(dtype, np.array(values, NUMPY_TYPES[dtype]))


def test_rows_and_columns():
    layout, tensors = read(b'{"instances": [[1, 2], [3.5, 4]]}', x=DataType.FLOAT)
    assert layout is Format.ROW
    assert tensors["x"].dtype == DataType.FLOAT
    assert tensors["x"].array.dtype == np.float32
    assert tensors["x"].array.tolist() == [[1, 2], [3.5, 4]]
    layout, tensors = read(b'{"inputs": {"a": [1], "b": [[true]], "other": 0}}', a=DataType.INT8, b=DataType.BOOL)
    assert layout is Format.COLUMN
    assert tensors["a"].array.tolist() == [1]
    assert tensors["b"].array.tolist() == [[True]]


@pytest.mark.parametrize("dtype", ["FLOAT", "DOUBLE"])
def test_beyond_the_range_of_floats(dtype):
    body = b'{"instances": [1e39, -1e39, 1e-45, 5e-324, 123456789012345678901234567890, NaN]}'
    array = read(body, x=DataType[dtype])[1]["x"].array
    if dtype == "FLOAT":
        assert array[:4].tolist() == [np.inf, -np.inf, 0, 0]
    else:
        assert array[:4].tolist() == [1e39, -1e39, 1e-45, 0]
    assert array[4] == array.dtype.type(123456789012345678901234567890)
    assert np.isnan(array[5])


@pytest.mark.parametrize(
    ("dtype", "given_values", "wanted"),
    [
        ("INT8", [128, 300, -129], [-128, 44, 127]),
        ("INT16", [40000], [-25536]),
        ("UINT8", [256, -1], [0, 255]),
        ("INT64", [2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
        ("UINT32", [2**32 - 1], [2**32 - 1]),
        ("UINT64", [2**64 - 1, 0], [2**64 - 1, 0]),
    ],
)
def test_integers(dtype, given_values, wanted):
    body = json.dumps({"instances": given_values}).encode()
    array = read(body, x=DataType[dtype])[1]["x"].array
    assert array.dtype == NUMPY_TYPES[DataType[dtype]]
    assert array.tolist() == wanted


def test_strings_and_base64():
    array = read(b'{"instances": ["\xff", {"b64": "/+8"}, {"b64": " aG k=\\n"}]}', x=DataType.STRING)[1]["x"].array
    assert array.tolist() == [b"\xff", b"\xff\xef", b"hi"]
    assert read(b'{"inputs": {"b64": "aGk="}}', x=DataType.STRING)[1]["x"].array.item() == b"hi"


@pytest.mark.parametrize("text", ["_-8=", "!!!", "a", "aGk==", "aG=k", "aGVs=", "é"])
def test_bad_base64(text):
    with pytest.raises(StatusError, match="Unable to base64 decode"):
        decode_base64(text)


def test_a_name_that_stands_twice_leaves_its_second_value_for_the_next_row():
    body = b'{"instances": [{"x": 1, "x": 2}, {"x": 3}]}'
    assert read(body, x=DataType.FLOAT)[1]["x"].array.tolist() == [1, 2]


def test_refusals():
    one, two = {"x": DataType.FLOAT}, {"a": DataType.FLOAT, "b": DataType.FLOAT}
    assert refusal(b'{"inputs": {"a": 1, "b": {"b64": "x"}}}', **two) == (
        'JSON Value: {\n    "b64": "x"\n} Type: Object is not of expected type: float'
    )
    assert refusal(b'{"inputs": {"c": 1}}', x=DataType.STRING) == "Missing named input: x in 'inputs' object."
    assert refusal(b'{"inputs": [{"c": 1}]}', x=DataType.STRING) == (
        'JSON Value: {\n    "c": 1\n} not formatted correctly for base64 data'
    )
    assert refusal(b'{"instances": [[[], [1]]]}', **one).endswith(
        "Encountered list at unexpected size: 1 at level: 1 expected size: 0"
    )
    assert refusal(b'{"inputs": 1}', x=DataType.RESOURCE) == "Conversion of JSON Value: 1 to type: resource"


def test_too_many_dimensions():
    for depth in (33, 20_000):
        body = b'{"inputs": ' + b"[" * depth + b"1" + b"]" * depth + b"}"
        assert "more than 32 dimensions" in refusal(body, x=DataType.FLOAT)
    assert read(b'{"inputs": ' + b"[" * 32 + b"1" + b"]" * 32 + b"}", x=DataType.FLOAT)[1]["x"].array.ndim == 32


def test_signature_name():
    assert predict_body.signature_name(parse(b"{}")) == ""
    assert predict_body.signature_name(parse(b'{"signature_name": "a", "signature_name": 1}')) == "a"
    with pytest.raises(StatusError, match="'signature_name' key must be a string value"):
        predict_body.signature_name(parse(b'{"signature_name": 1}'))


NUMBERS = st.integers(-(2**31), 2**31) | st.floats(allow_nan=False) | st.booleans() | st.none() | st.just("a")
SHAPES = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
REGULAR = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=3)
)


@given(SHAPES | REGULAR, st.sampled_from([DataType.FLOAT, DataType.DOUBLE, DataType.INT32, DataType.INT8]))
def test_quick_tensors_are_the_exact_ones(value, dtype):
    quick = QuickTensors(json.dumps(value).encode()).make(value, dtype)
    if quick is not None:
        exact = to_tensor(*fill(value, dtype), dtype)
        assert quick.array.dtype == exact.array.dtype
        assert quick.array.shape == exact.array.shape
        assert quick.array.tobytes() == exact.array.tobytes()


@pytest.mark.parametrize("layout", Format)
@given(data=st.data())
def test_outputs_read_back(layout, data):
    shape = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
    if layout is Format.ROW and not shape[0]:
        shape = (1, *shape[1:])
    values = data.draw(st.lists(st.floats(width=32), min_size=100, max_size=100))
    array = np.resize(np.array(values, np.float32), shape)
    array[np.abs(array) < np.finfo(np.float32).tiny] *= 0
    body = outputs(layout, {"y": Tensor(DataType.FLOAT, array)})
    back = parse(body).root["predictions" if layout is Format.ROW else "outputs"]
    np.testing.assert_array_equal(np.array(back, np.float32).reshape(shape), array)
    assert np.array(back, np.float32).size == array.size


def test_layouts():
    rows = {"y": tensor([[1], [2.5]]), "s_bytes": tensor([b"a", b"\xff"], DataType.STRING)}
    assert outputs(Format.ROW, {"y": rows["y"]}) == b'{\n    "predictions": [[1.0], [2.5]\n    ]\n}'
    assert outputs(Format.ROW, rows) == (
        b'{\n    "predictions": [\n        {\n            "y": [1.0],\n            "s_bytes": {\n'
        b'                "b64": "YQ=="\n            }\n        },\n        {\n            "y": [2.5],\n'
        b'            "s_bytes": {\n                "b64": "/w=="\n            }\n        }\n    ]\n}'
    )
    assert outputs(Format.COLUMN, {"y": tensor([[1], [2]], DataType.INT32)}) == (
        b'{\n    "outputs": [\n        [\n            1\n        ],\n        [\n            2\n        ]\n    ]\n}'
    )
    assert outputs(Format.COLUMN, {"y": tensor(1.5)}) == b'{\n    "outputs": 1.5\n}'
    assert outputs(Format.ROW, {"y": tensor([]), "z": tensor([])}) == b'{\n    "predictions": []\n}'
    assert outputs(Format.ROW, {"s": tensor([b"\xff"], DataType.STRING)}) == b'{\n    "predictions": ["\xff"\n    ]\n}'


@pytest.mark.parametrize(
    ("layout", "tensors", "message"),
    [
        (Format.ROW, {"y": tensor(1.0)}, "Tensor name: y has no shape information "),
        (
            Format.ROW,
            {"p": tensor([1, 2]), "q": tensor([1, 2, 3, 4])},
            "Tensor name: q has inconsistent batch size: 4 expecting: 2",
        ),
        (Format.ROW, {"h": tensor([1], DataType.HALF)}, "Failed to write JSON value for tensor type: half"),
        (Format.COLUMN, {"q": tensor([1], DataType.QUINT16)}, "Failed to write JSON value for tensor type: quint16"),
        (Format.COLUMN, {}, "Cannot convert empty tensor map to JSON"),
    ],
)
def test_outputs_refused(layout, tensors, message):
    with pytest.raises(StatusError) as caught:
        outputs(layout, tensors)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)
