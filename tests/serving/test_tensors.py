"""TensorProto to tensors and back, as Tensor::FromProto and tensorflow.make_ndarray read it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from contract.errors import Code, StatusError
from runtimes.tensor import MAX_RANK, NUMPY_TYPES, DataType, Tensor
from serving import protos
from serving.tensors import from_proto, to_proto

INT_VAL = {
    DataType.INT32: "int32", DataType.UINT8: "uint8", DataType.INT16: "int16", DataType.INT8: "int8",
    DataType.UINT16: "uint16", DataType.QINT8: "int8", DataType.QUINT8: "uint8", DataType.QINT16: "int16",
    DataType.QUINT16: "uint16", DataType.QINT32: "int32",
}  # fmt: skip


def proto(dtype, shape, **fields):
    message = protos.tensor.TensorProto(dtype=dtype, **fields)
    for size in shape:
        message.tensor_shape.dim.add().size = size
    return message


def read(dtype, shape, **fields):
    """The values, of a message that has to be a tensor."""
    tensor = from_proto(proto(dtype, shape, **fields))
    assert tensor is not None
    assert tensor.dtype == dtype
    assert tensor.array.shape == tuple(shape)
    assert tensor.array.dtype == NUMPY_TYPES[dtype]
    return tensor.array.tolist()


def written(dtype, array, **options):
    message = protos.tensor.TensorProto()
    to_proto(Tensor(dtype, array), message, **options)
    return message


def strings(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


# Typed fields: the values as types.proto and tensor.proto state them.


@pytest.mark.parametrize(
    ("dtype", "field", "given", "wanted"),
    [
        (DataType.FLOAT, "float_val", [1.5, -2.0], [1.5, -2.0]),
        (DataType.DOUBLE, "double_val", [0.1, 1e300], [0.1, 1e300]),
        *((dtype, "int_val", [1, 100], [1, 100]) for dtype in INT_VAL),
        (DataType.INT64, "int64_val", [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        (DataType.UINT32, "uint32_val", [0, 2**32 - 1], [0, 2**32 - 1]),
        (DataType.UINT64, "uint64_val", [0, 2**64 - 1], [0, 2**64 - 1]),
        (DataType.BOOL, "bool_val", [True, False], [True, False]),
        (DataType.STRING, "string_val", [b"", b"\xff\0"], [b"", b"\xff\0"]),
        (DataType.HALF, "half_val", [0x3C00, 0xC000], [1.0, -2.0]),
        (DataType.BFLOAT16, "half_val", [0x3F80, 0xC000], [0x3F80, 0xC000]),  # the words, numpy has no bfloat16
        (DataType.COMPLEX64, "scomplex_val", [1, 2, 3, -4], [1 + 2j, 3 - 4j]),
        (DataType.COMPLEX128, "dcomplex_val", [0.1, 2, 3, -4], [0.1 + 2j, 3 - 4j]),
    ],
)
def test_each_type_has_its_field(dtype, field, given, wanted):
    assert read(dtype, [2], **{field: given}) == wanted
    assert read(dtype, [2, 1], **{field: given}) == [[value] for value in wanted]
    message = written(dtype, np.array(wanted, NUMPY_TYPES[dtype]))
    assert list(getattr(message, field)) == given
    assert message == proto(dtype, [2], **{field: given})


@pytest.mark.parametrize("dtype", [dtype for dtype in INT_VAL if INT_VAL[dtype] != "int32"])
def test_int_val_keeps_the_low_bits(dtype):
    given = [300, -1, 2**31 - 1, -(2**31)]
    assert read(dtype, [4], int_val=given) == np.array(given, np.int64).astype(INT_VAL[dtype]).tolist()


def test_half_val_keeps_the_low_bits():
    assert read(DataType.HALF, [2], half_val=[0x13C00, -0x4000]) == [1.0, -2.0]
    assert read(DataType.BFLOAT16, [1], half_val=[-1]) == [0xFFFF]


@pytest.mark.parametrize("dtype", NUMPY_TYPES)
def test_no_value_at_all_is_zero(dtype):
    wanted = b"" if dtype == DataType.STRING else 0
    assert read(dtype, [2, 2]) == [[wanted, wanted]] * 2
    assert read(dtype, []) == wanted


@pytest.mark.parametrize(
    ("dtype", "field", "given", "last"),
    [
        (DataType.FLOAT, "float_val", [1, 2], 2),
        (DataType.INT8, "int_val", [1, 300], 44),
        (DataType.BOOL, "bool_val", [False, True], True),
        (DataType.STRING, "string_val", [b"a", b"b"], b"b"),
        (DataType.HALF, "half_val", [0, 0x3C00], 1.0),
        (DataType.UINT64, "uint64_val", [1, 2**64 - 1], 2**64 - 1),
        (DataType.COMPLEX64, "scomplex_val", [0, 0, 1, 2], 1 + 2j),
    ],
)
def test_the_last_value_repeats_and_too_many_are_dropped(dtype, field, given, last):
    array = read(dtype, [5], **{field: given})
    assert array[1:] == [last] * 4
    assert read(dtype, [1], **{field: given}) == array[:1]
    assert read(dtype, [], **{field: given}) == array[0]
    assert read(dtype, [0], **{field: given}) == []


def test_half_a_complex_number_is_none():
    assert read(DataType.COMPLEX64, [2], scomplex_val=[1, 2, 3]) == [1 + 2j, 1 + 2j]
    assert read(DataType.COMPLEX128, [2], dcomplex_val=[7]) == [0, 0]


def test_values_in_the_field_of_another_type_do_not_count():
    assert read(DataType.FLOAT, [2], double_val=[1, 2], int_val=[3]) == [0, 0]


# tensor_content.


@pytest.mark.parametrize("dtype", [dtype for dtype in NUMPY_TYPES if dtype != DataType.STRING])
def test_content_holds_the_bytes(dtype):
    array = np.arange(6).astype(NUMPY_TYPES[dtype]).reshape(2, 3)
    message = proto(dtype, [2, 3], tensor_content=array.tobytes())
    assert read(dtype, [2, 3], tensor_content=array.tobytes()) == array.tolist()
    assert written(dtype, array, as_content=True) == message


@pytest.mark.parametrize("content", [b"\0", b"\0" * 7, b"\0" * 9, b"\0" * 16])
@pytest.mark.parametrize("dtype", [DataType.FLOAT, DataType.INT32, DataType.UINT32])
def test_content_of_the_wrong_size_is_no_tensor(dtype, content):
    assert from_proto(proto(dtype, [2], tensor_content=content)) is None


def test_content_goes_before_the_field_unless_nothing_is_wanted():
    assert read(DataType.UINT8, [2], tensor_content=b"\1\2", int_val=[7]) == [1, 2]
    assert read(DataType.UINT8, [0], tensor_content=b"\1\2", int_val=[7]) == []


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"\0\0", [b"", b""]),
        (b"\1\2abc", [b"a", b"bc"]),
        (b"\x81\0\1ab", [b"a", b"b"]),  # a longer varint than necessary
        (b"\x80\x01\0" + b"x" * 128, [b"x" * 128, b""]),
    ],
)
def test_strings_in_content(content, wanted):
    assert read(DataType.STRING, [2], tensor_content=content) == wanted


@pytest.mark.parametrize(
    "content",
    [
        b"\0",  # a length is missing
        b"\1\x80",  # a length is cut off
        b"\x80\x80\x80\x80\x80\x01\0",  # a length of more than five bytes
        b"\xff\xff\xff\xff\x7f\0",  # a length of more than there is
        b"\1\1a",  # a byte is missing
        b"\1\1abc",  # a byte too many
    ],
)
def test_damaged_strings_in_content_are_no_tensor(content):
    assert from_proto(proto(DataType.STRING, [2], tensor_content=content)) is None


def test_strings_are_written_as_content():
    array = strings(b"", b"a\0", b"\xff" * 200)
    message = written(DataType.STRING, array, as_content=True)
    assert message.tensor_content == b"\0\2\xc8\1a\0" + b"\xff" * 200
    assert read(DataType.STRING, [3], tensor_content=message.tensor_content) == array.tolist()


# Shapes and types.


@pytest.mark.parametrize(
    "shape",
    [[-1], [2, -1], [0, -1], [-(2**63)], [2**31], [2**20, 2**20], [2**62, 2**62], [2**32, 2**32, 2], [2**63 - 1]],
)
def test_negative_and_huge_shapes_are_no_tensors(shape):
    for dtype in (DataType.FLOAT, DataType.STRING, DataType.UINT8):
        assert from_proto(proto(dtype, shape)) is None
    assert from_proto(proto(DataType.FLOAT, shape, float_val=[1])) is None
    assert from_proto(proto(DataType.FLOAT, shape, tensor_content=b"\0" * 4)) is None


@pytest.mark.parametrize("shape", [[2**62, 2**62, 0], [0, 2**62, 2**62], [2**63 - 1, 0]])
def test_huge_shapes_without_elements_are_no_tensors_where_numpy_cannot_hold_them(shape):
    for dtype in NUMPY_TYPES:
        tensor = from_proto(proto(dtype, shape))
        assert tensor is None or (tensor.array.shape == tuple(shape) and tensor.array.itemsize == 1)


@pytest.mark.parametrize("shape", [[0], [3, 0, 2], [2**40, 0]])
@pytest.mark.parametrize("dtype", NUMPY_TYPES)
def test_no_elements(dtype, shape):
    tensor = from_proto(proto(dtype, shape))
    assert tensor is not None
    assert tensor.array.shape == tuple(shape)
    assert tensor.array.dtype == NUMPY_TYPES[dtype]
    for as_content in (False, True):
        assert written(dtype, tensor.array, as_content=as_content) == proto(dtype, shape)


def test_an_unknown_rank_is_a_scalar():
    message = protos.tensor.TensorProto(dtype=DataType.FLOAT, float_val=[5])
    message.tensor_shape.unknown_rank = True
    tensor = from_proto(message)
    assert tensor is not None
    assert (tensor.array.shape, tensor.array.tolist()) == ((), 5)


def test_names_of_dimensions_say_nothing():
    message = protos.tensor.TensorProto(dtype=DataType.FLOAT, float_val=[5])
    message.tensor_shape.dim.add(size=2, name="batch")
    tensor = from_proto(message)
    assert tensor is not None
    assert tensor.array.tolist() == [5, 5]


def test_a_scalar_has_a_shape():
    message = written(DataType.FLOAT, np.array(5, np.float32))
    assert message.HasField("tensor_shape")
    assert not message.tensor_shape.dim


def test_as_many_dimensions_as_numpy_has():
    tensor = from_proto(proto(DataType.FLOAT, [1] * MAX_RANK, float_val=[3]))
    assert tensor is not None
    assert tensor.array.item() == 3
    for rank in (MAX_RANK + 1, 254, 255):
        with pytest.raises(StatusError, match=f"more than 32 dimensions are not supported, got {rank}") as caught:
            from_proto(proto(DataType.FLOAT, [1] * rank, float_val=[3]))
        assert caught.value.code is Code.UNIMPLEMENTED


@pytest.mark.parametrize("dtype", [0, 21, 24, 25, 29, *(dtype + 100 for dtype in NUMPY_TYPES), 1000])
def test_other_types_are_no_tensors(dtype):
    # INVALID, VARIANT, float8, int4, references, and what types.proto does not know.
    for shape in ([1], [0], []):
        assert from_proto(proto(dtype, shape, float_val=[1], int_val=[1])) is None


def test_a_resource_is_refused_in_tensorflow_s_words():
    message = proto(DataType.RESOURCE, [1])
    with pytest.raises(StatusError, match=r"^INVALID_ARGUMENT: Invalid resource type hash code: 0\(name:  type: \)\."):
        from_proto(message)
    message.resource_handle_val.add(name="v", hash_code=7, maybe_type_name="Var")
    with pytest.raises(StatusError, match=r"Invalid resource type hash code: 7\(name: v type: Var\)\. Perhaps a"):
        from_proto(message)


# Writing.


def test_many_numbers_are_written_as_their_bytes():
    for dtype, field in ((DataType.FLOAT, "float_val"), (DataType.DOUBLE, "double_val")):
        array = np.random.default_rng(5).random(1000).astype(NUMPY_TYPES[dtype]).reshape(10, 100)
        message = written(dtype, array)
        assert list(getattr(message, field)) == array.reshape(-1).tolist()
        assert message.dtype == dtype
        assert [dim.size for dim in message.tensor_shape.dim] == [10, 100]


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", NUMPY_TYPES)
def test_arrays_that_are_not_contiguous(dtype, as_content):
    whole = np.arange(400).astype(NUMPY_TYPES[dtype]).reshape(20, 20)
    if dtype == DataType.STRING:
        whole = strings(*(str(number).encode() for number in range(400))).reshape(20, 20)
    for array in (whole.T, whole[::2], whole[:, ::3], whole[0, ::2], whole[::-1]):
        tensor = from_proto(written(dtype, array, as_content=as_content))
        assert tensor is not None
        np.testing.assert_array_equal(tensor.array, array, strict=True)


NUMBERS = [dtype for dtype in NUMPY_TYPES if dtype != DataType.STRING]
SHAPES = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


def same_bits(one, other):
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


@settings(derandomize=True, deadline=None)
@given(st.data(), st.sampled_from(NUMBERS), SHAPES, st.booleans())
def test_numbers_come_back(data, dtype, shape, as_content):
    elements = None
    if dtype == DataType.FLOAT:  # a signalling NaN turns quiet on its way through a Python float
        elements = st.floats(width=32)
    array = data.draw(st_numpy.arrays(NUMPY_TYPES[dtype], shape, elements=elements))
    message = protos.tensor.TensorProto.FromString(written(dtype, array, as_content=as_content).SerializeToString())
    tensor = from_proto(message)
    assert tensor is not None
    assert tensor.dtype == dtype
    if array.dtype.kind in "fc" and not as_content:
        np.testing.assert_array_equal(tensor.array, array, strict=True)
    else:
        assert same_bits(tensor.array, array)


@settings(derandomize=True, deadline=None)
@given(st_numpy.arrays(object, SHAPES, elements=st.binary(max_size=200), fill=st.nothing()), st.booleans())
def test_strings_come_back(array, as_content):
    message = written(DataType.STRING, array, as_content=as_content)
    tensor = from_proto(protos.tensor.TensorProto.FromString(message.SerializeToString()))
    assert tensor is not None
    assert tensor.array.shape == array.shape
    assert tensor.array.tolist() == array.tolist()


@settings(derandomize=True, deadline=None)
@given(st.sampled_from([*range(30), 101, 107]), st.lists(st.integers(-1, 5), max_size=4), st.binary(max_size=40))
def test_any_content_is_a_tensor_or_none(dtype, shape, content):
    message = proto(dtype, shape, tensor_content=content)
    if dtype == DataType.RESOURCE:
        with pytest.raises(StatusError, match="Invalid resource type"):
            from_proto(message)
    else:
        tensor = from_proto(message)
        assert tensor is None or tensor.array.shape == tuple(shape)
