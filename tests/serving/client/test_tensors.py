"""What a caller gives, brought to the dtype of the signature; tensors on the wire."""

from typing import Any

import numpy as np
import pytest

from contract.errors import Code, SpecError, StatusError
from contract.tensor_spec import TensorSpec
from runtimes.tensor import NUMPY_TYPES, DataType
from runtimes.tensorflow_protos import import_proto
from serving.client.tensors import cast, dtype_name, from_wire, to_wire

ml_dtypes = pytest.importorskip("ml_dtypes")


def array(dtype: str, values: Any) -> Any:
    return np.array(values, dtype)


def tensor_proto(**fields):
    return import_proto("tensorflow.core.framework.tensor_pb2").TensorProto(**fields)


def given(dtype, value):
    return cast("m: input x", TensorSpec("x", dtype, ("n",)), value)


@pytest.mark.parametrize(
    ("dtype", "value", "wanted"),
    [
        ("float32", [1, 2.5], array("float32", [1, 2.5])),
        ("float32", 3, np.float32(3)),
        ("float32", [float("inf"), float("nan")], array("float32", [np.inf, np.nan])),
        ("float32", (array("float64", [1, 2]), [3, 4]), array("float32", [1, 2, 3, 4]).reshape(2, 2)),
        ("float32", [], np.zeros(0, np.float32)),
        ("float64", [2**70, 1], array("float64", [2**70, 1])),
        ("float16", [0.1], array("float16", [0.1])),
        ("bfloat16", [1.5], np.array([1.5], ml_dtypes.bfloat16)),
        ("int8", [-128, 127], array("int8", [-128, 127])),
        ("uint64", [1, 2**64 - 1], array("uint64", [1, 2**64 - 1])),
        ("bool", [True, False], np.array([True, False])),
        ("complex64", [1, 2j], array("complex64", [1, 2j])),
        ("float64", array("float32", [0.1]), np.float64(array("float32", [0.1]))),
        ("float64", array("int32", [3]), array("float64", [3])),
        ("int64", array("uint8", [3]), array("int64", [3])),
        ("float32", np.array([1.5], ml_dtypes.bfloat16), array("float32", [1.5])),
        ("int32", np.array([1, 2], ">i4"), array("int32", [1, 2])),
    ],
)
def test_values_take_the_dtype(dtype, value, wanted):
    array = given(dtype, value)
    assert array.dtype.name == dtype
    np.testing.assert_array_equal(array, wanted)


def test_strings_become_bytes():
    for value in (["ä", b"b\0"], np.array(["ä", b"b\0"], object)):
        assert given("object", value).tolist() == ["ä".encode(), b"b\0"]
    assert given("object", np.array(["ä", "b"])).tolist() == ["ä".encode(), b"b"]
    assert given("object", np.array([b"a"])).tolist() == [b"a"]
    assert given("object", "one").shape == ()
    assert given("object", [["a"], ["b"]]).shape == (2, 1)
    assert given("object", []).shape == (0,)


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (
            "float32",
            array("float64", [[1]]),
            "given float64[1, 1], which does not cast safely; .astype('float32') casts it",
        ),
        ("float32", array("int64", [1]), "given int64[1], which does not cast safely"),
        ("float32", np.array([True]), "given bool[1], which does not cast safely"),
        ("float32", np.array([1.0], object), "given object[1], which does not cast safely"),
        (
            "bfloat16",
            array("float32", [1]),
            "given float32[1], which does not cast safely; .astype('bfloat16') casts it",
        ),
        ("float32", [[1], [2, 3]], "given lists that are not of one length"),
        ("float32", ["1"], "given values of type str"),
        ("float32", [True], "given values of type bool"),
        ("float32", [1, None], "given values of type NoneType, int"),
        ("float32", [1e39], "a number outside the range of float32"),
        ("float16", [70000], "a number outside the range of float16"),
        ("float64", [10**400], "a number outside the range of float64"),
        ("int32", [1.0], "given values of type float"),
        ("int8", [128], "given 128, which is outside the range of int8"),
        ("uint8", [-1], "given -1, which is outside the range of uint8"),
        ("int64", [2**63, 1], "given 9223372036854775808, which is outside the range of int64"),
        ("bool", [1], "given values of type int"),
        ("object", [1], "of bytes or str, given values of type int"),
        ("object", [["a"], ["b", "c"]], "list (lists that are not of one length)"),
        ("object", array("int64", [1]), "of bytes or str, given int64 of int"),
        ("object", ["\ud800"], "text that UTF-8 cannot encode"),
        ("resource", [1], "which no array can give"),
    ],
)
def test_what_does_not_fit_says_wanted_and_given(dtype, value, message):
    with pytest.raises(SpecError) as caught:
        given(dtype, value)
    assert str(caught.value).startswith(f"m: input x: wanted x {dtype}[n]")
    assert message in str(caught.value)


@pytest.mark.parametrize("code", sorted(NUMPY_TYPES))
def test_every_type_goes_over_the_wire_as_content_and_comes_back(code):
    name = dtype_name(code)
    array = np.array([[b"a", b""], [b"\0\xff", b"d"]], object)
    if code != DataType.STRING:
        array = np.array([[0, 1], [1, 0]]).astype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    proto = tensor_proto()
    to_wire(array, code, proto)
    assert bool(proto.tensor_content) == (code != DataType.STRING)
    back = from_wire("y", proto)
    assert back.dtype == array.dtype
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_typed_fields_are_read_too():
    shape = {"dim": [{"size": 3}]}
    proto = tensor_proto(dtype=DataType.FLOAT, tensor_shape=shape, float_val=[1, 2])
    assert from_wire("y", proto).tolist() == [1, 2, 2]
    proto = tensor_proto(dtype=DataType.BFLOAT16, tensor_shape=shape, half_val=[0x3FC0])
    assert from_wire("y", proto).astype(np.float32).tolist() == [1.5, 1.5, 1.5]
    proto = tensor_proto(dtype=DataType.STRING, tensor_shape=shape, tensor_content=b"\1\0\2abc")
    assert from_wire("y", proto).tolist() == [b"a", b"", b"bc"]


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"dtype": DataType.VARIANT}, Code.UNIMPLEMENTED, "output y: no array holds a tensor of type variant"),
        ({"dtype": 77}, Code.UNIMPLEMENTED, "output y: no array holds a tensor of type type 77"),
        (
            {"dtype": DataType.FLOAT, "tensor_shape": {"dim": [{"size": 2}]}, "tensor_content": b"abc"},
            Code.INTERNAL,
            "output y: what the server sent is no float32[2]",
        ),
        ({"dtype": DataType.FLOAT, "tensor_shape": {"dim": [{"size": -1}]}}, Code.INTERNAL, "is no float32[-1]"),
        ({"dtype": DataType.FLOAT, "tensor_shape": {"unknown_rank": True}}, Code.INTERNAL, "is no float32[]"),
    ],
)
def test_an_answer_that_is_no_tensor(fields, code, message):
    with pytest.raises(StatusError) as caught:
        from_wire("y", tensor_proto(**fields))
    assert caught.value.code is code
    assert message in caught.value.message


def test_without_ml_dtypes_bfloat16_is_its_words(monkeypatch):
    import serving.client.tensors as module

    monkeypatch.setattr(module, "_bfloat16", lambda: np.dtype("uint16"))
    proto = tensor_proto(dtype=DataType.BFLOAT16, half_val=[0x3FC0])
    assert dtype_name(DataType.BFLOAT16) == "uint16"
    assert from_wire("y", proto) == np.uint16(0x3FC0)
