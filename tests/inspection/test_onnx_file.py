"""What is told of an .onnx file is what ONNX's own library reads from it."""

import json
import re

import onnx
import pytest
from onnx import TensorProto, helper

from contract.errors import FormatError
from inspection import Kind, inspect


def look_into(path):
    """Any: each test knows of which kind its files are."""
    return inspect(path)


@pytest.fixture
def saved(tmp_path, make):
    def save(**changes):
        path = tmp_path / "m.onnx"
        onnx.save(make.onnx_model(**changes), path)
        return path

    return save


def test_the_model_s_own_words(saved):
    found = look_into(saved()).content
    assert (found.ir_version, found.producer, found.graph) == (10, "by hand 1.2", "net")
    assert found.opsets == {"ai.onnx": 20, "my": 1}
    assert found.metadata == {"purpose": "a test"}


def test_inputs_have_no_initializer_and_keep_the_names_of_their_axes(saved):
    found = [(t.direction, t.name, t.dtype, t.shape) for t in look_into(saved()).content.inputs_and_outputs]
    assert found == [
        ("input", "x", "float32", ("batch", 2)),
        ("input", "flag", "bool", ()),
        ("input", "many", "sequence", None),
        ("output", "y", "float32", ("batch", "?")),
        ("output", "z", "float32", None),
    ]


def test_operators_are_counted_in_branches_and_functions_too(saved):
    found = look_into(saved()).content
    counts = {(one.domain, one.operator): one.count for one in found.operators}
    assert counts == {
        ("ai.onnx", "Identity"): 2,
        ("ai.onnx", "If"): 1,
        ("ai.onnx", "MatMul"): 1,
        ("ai.onnx", "Add"): 1,
        ("my", "Twice"): 1,
    }
    assert (found.nodes, found.functions) == (6, 1)
    assert found.operators[0].operator == "Identity"


def test_initializers_are_sized_however_they_are_stored(saved):
    found = look_into(saved()).content
    assert [(one.name, one.dtype, one.shape, one.size_bytes) for one in found.initializers] == [
        ("w", "float32", (2, 3), 24),
        ("typed", "int64", (2,), 16),
        ("inner", "float32", (3,), 12),
        ("inner", "float32", (3,), 12),
    ]
    assert (found.parameters, found.weight_bytes) == (14, 64)


NAMES = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT4E2M1": "float4e2m1fn"}

BITS = {"BOOL": 8, "FLOAT": 32, "DOUBLE": 64, "COMPLEX64": 64, "COMPLEX128": 128}


@pytest.mark.parametrize("name", sorted(set(TensorProto.DataType.keys()) - {"UNDEFINED", "STRING"}))
def test_every_dtype_has_a_name_and_its_own_size(saved, name):
    bits = BITS.get(name) or int(re.findall(r"\d+", name)[0])
    size = (3 * bits + 7) // 8
    tensor = TensorProto(name="t", data_type=TensorProto.DataType.Value(name), dims=[3], raw_data=bytes(size))
    [found] = [one for one in look_into(saved(initializers=[tensor])).content.initializers if one.name == "t"]
    assert found.dtype.replace("_", "") == NAMES.get(name, name.lower())
    assert found.size_bytes == size


def test_strings_take_what_they_are_long(saved):
    tensor = helper.make_tensor("t", TensorProto.STRING, [3], [b"a", b"bc", b""])
    [found] = [one for one in look_into(saved(initializers=[tensor])).content.initializers if one.name == "t"]
    assert (found.dtype, found.size_bytes) == ("string", 3)


def test_a_cyclic_graph_is_no_hindrance(tmp_path):
    nodes = [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Relu", ["b"], ["a"])]
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [])), path)
    assert look_into(path).content.operators[0].count == 2


def test_graphs_nested_a_thousand_deep(tmp_path):
    def framed(number, content):
        length = len(content)
        size = b""
        while length >= 0x80:
            size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + content

    graph = b""
    for _ in range(1000):
        graph = framed(1, framed(4, b"If") + framed(5, framed(6, graph)))
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x0a" + framed(7, graph))
    assert look_into(path).content.nodes == 1000


@pytest.mark.parametrize(
    ("entries", "beside", "state"),
    [({}, 16, "whole"), ({"offset": "4", "length": "16"}, 16, "too short"), ({}, None, "missing")],
)
def test_external_files_are_held_against_the_disk(tmp_path, saved, make, entries, beside, state):
    path = saved(initializers=[make.external("sub/far.bin", **entries)])
    if beside is not None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "far.bin").write_bytes(bytes(beside))
    found = look_into(path).content
    [file] = found.external_files
    assert (file.file, file.size_bytes, file.initializers, file.state) == ("sub/far.bin", beside, 1, state)
    assert {one.name: one.stored_in for one in found.initializers} == {
        "w": None,
        "typed": None,
        "inner": None,
        "far": "sub/far.bin",
    }


@pytest.mark.parametrize("location", ["../far.bin", "a/../../far.bin", "/etc/passwd", "", "a\0b"])
def test_external_data_never_leaves_the_folder(saved, make, location):
    path = saved(initializers=[make.external(location)])
    with pytest.raises(FormatError, match=r"m\.onnx: the external data .* of 'far' lies outside the model's folder"):
        look_into(path)


def test_external_data_never_leaves_the_folder_by_a_link(tmp_path, make):
    (tmp_path / "far.bin").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "far.bin")
    onnx.save(make.onnx_model(initializers=[make.external("link.bin")]), folder / "m.onnx")
    with pytest.raises(FormatError, match=r"'link\.bin' of 'far' lies outside"):
        look_into(folder / "m.onnx")


def test_the_external_data_of_a_constant_is_checked_too(tmp_path, make):
    node = helper.make_node("Constant", [], ["c"], value=make.external("../far.bin"))
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [])), tmp_path / "m.onnx")
    with pytest.raises(FormatError, match=r"'\.\./far\.bin' of 'far' lies outside"):
        look_into(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (TensorProto(name="w", data_type=1, dims=[2], raw_data=bytes(7)), r"is float32\[2\], 8 bytes, but has 7"),
        (TensorProto(name="w", data_type=1, dims=[-1]), "has an axis of size -1"),
        (TensorProto(name="w", data_type=1, dims=[2**62, 4]), "has 18,446,744,073,709,551,616 elements"),
        (TensorProto(name="w", data_type=1, dims=[1] * 65), "has 65 axes"),
    ],
)
def test_a_damaged_initializer_is_named(saved, tensor, reason):
    with pytest.raises(FormatError, match=f"m.onnx: a damaged ONNX file: initializer 'w' {reason}"):
        look_into(saved(initializers=[tensor]))


def test_an_external_length_that_is_no_number(saved, make):
    with pytest.raises(FormatError, match="has external data at '0' of length 'x'"):
        look_into(saved(initializers=[make.external("far.bin", length="x")]))


def test_half_a_file(saved, write):
    half = write("half.onnx", saved().read_bytes()[:300])
    with pytest.raises(FormatError, match=r"half\.onnx: a damaged ONNX file: its model is not whole"):
        look_into(half)
    none = write("none.onnx", b"\x08\x0a")
    with pytest.raises(FormatError, match="it has no graph"):
        look_into(none)


def test_the_content_tells_without_the_suffix(saved, write):
    assert look_into(write("model.bin", saved().read_bytes())).kind is Kind.ONNX


def test_it_becomes_json(saved):
    values = json.loads(json.dumps(look_into(saved()).to_dict()))
    assert values["kind"] == "onnx"
    assert values["inputs_and_outputs"][0] == {
        "direction": "input",
        "name": "x",
        "dtype": "float32",
        "shape": ["batch", 2],
    }
    assert values["manifest"] is None
