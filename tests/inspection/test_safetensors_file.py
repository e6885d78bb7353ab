"""What is told of a .safetensors file, and what makes one damaged."""

import numpy as np
import pytest
import safetensors.numpy

from contract.errors import FormatError
from inspection import Kind, inspect


def look_into(path):
    """Any: each test knows of which kind its files are."""
    return inspect(path)


def test_it_is_what_the_library_wrote(small):
    found = look_into(small["safetensors"]).content
    tensors = safetensors.numpy.load_file(small["safetensors"])
    assert {one.name: (one.dtype, one.shape) for one in found.tensors} == {
        name: (array.dtype.name, array.shape) for name, array in tensors.items()
    }
    assert [one.name for one in found.tensors] == ["a", "b", "c"]
    assert (found.parameters, found.weight_bytes, found.metadata) == (10, 28, {"made": "here"})


@pytest.mark.parametrize(
    "dtype", ["bool", "float16", "float64", "int16", "int32", "int64", "uint8", "uint16", "uint64"]
)
def test_every_dtype_has_numpy_s_name(tmp_path, dtype):
    path = tmp_path / "m.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(3, dtype)}, path)
    assert look_into(path).content.tensors[0].dtype == dtype


def test_the_content_tells_without_the_suffix(small):
    assert look_into(small["safetensors"].rename(small["safetensors"].with_suffix(".bin"))).kind is Kind.SAFETENSORS


def entry(begin, end, dtype="F32", shape=(1,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        ({"a": entry(0, 4), "b": entry(8, 12)}, 12, "tensor 'b' begins at byte 8 of the data, not at 4"),
        ({"a": entry(0, 4), "b": entry(0, 4)}, 4, "tensor 'b' begins at byte 0 of the data, not at 4"),
        ({"a": entry(0, 4)}, 3, "its tensors take 4 bytes, but 3 follow the header"),
        ({"a": entry(0, 4)}, 5, "its tensors take 4 bytes, but 5 follow the header"),
        ({"a": entry(4, 0)}, 0, "tensor 'a' lies from byte 4 to byte 0"),
        ({"a": entry(0, 4, shape=[2])}, 4, r"tensor 'a' is F32\[2\], 8 bytes, but has 4"),
        ({"a": entry(0, 4, dtype="X")}, 4, "tensor 'a' has the dtype 'X'"),
        ({"a": entry(0, 4, dtype=[])}, 4, r"tensor 'a' has the dtype \[\]"),
        ({"a": entry(0, 4, shape=[-1])}, 4, "tensor 'a' has an axis of size -1"),
        ({"a": {**entry(0, 4), "shape": 1}}, 4, "tensor 'a' has no shape"),
        ({"a": entry(0, True)}, 1, "tensor 'a' has no data_offsets"),
        ({"a": 3}, 0, "tensor 'a' has no data_offsets"),
        ({"__metadata__": {"a": 1}}, 0, "its __metadata__ holds something else than strings"),
        (b'{"a": 1, "a": 2}', 0, "its header is no JSON: the key 'a' stands there twice"),
        (b"[]", 0, "its header is no JSON object"),
        (b"{" * 200_000, 0, "its header is no JSON|its header is nested too deeply"),
        (b'{"a":' * 200_000, 0, "its header is nested too deeply"),
        (b"{\xff}", 0, "its header is no JSON: 'utf-8' codec"),
    ],
)
def test_damage_is_named(make, write, header, data, reason):
    path = write("m.safetensors", make.safetensors_bytes(header, bytes(data)))
    with pytest.raises(FormatError, match=rf"m\.safetensors: a damaged safetensors file: ({reason})"):
        look_into(path)


def test_a_header_that_states_a_giant_length_is_not_read(write):
    path = write("m.safetensors", (2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(FormatError, match="states a length of 1,152,921,504,606,846,976 bytes, the format allows"):
        look_into(path)
    path = write("m.safetensors", (11).to_bytes(8, "little") + b"{}")
    with pytest.raises(FormatError, match="states a length of 11 bytes, the file has 10"):
        look_into(path)
    with pytest.raises(FormatError, match="it has 3 bytes"):
        look_into(write("m.safetensors", b"abc"))
