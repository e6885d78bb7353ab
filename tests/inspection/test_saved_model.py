"""What is told of a SavedModel is what TensorFlow's own protos and the C API read from it."""

import struct
import subprocess
import sys

import pytest

from contract.errors import FormatError
from inspection import checkpoint, inspect
from inspection.damage import DamagedError
from runtimes.tensorflow_c import signatures
from runtimes.tensorflow_protos import import_proto


def look_into(path):
    """Any: each test knows of which kind its files are."""
    return inspect(path)


@pytest.fixture
def proto(small):
    """The definition by protobuf's own parser, and a way to write it back."""
    file = small["saved_model"] / "saved_model.pb"
    parsed = import_proto("tensorflow.core.protobuf.saved_model_pb2").SavedModel.FromString(file.read_bytes())
    return parsed, lambda: file.write_bytes(parsed.SerializeToString())


def test_the_graph_s_numbers_are_protobuf_s(small, proto):
    [meta_graph] = proto[0].meta_graphs
    found = look_into(small["saved_model"]).content
    assert found.tags == ("serve",)
    assert found.tensorflow == meta_graph.meta_info_def.tensorflow_version
    theirs = [node.op for node in meta_graph.graph_def.node]
    assert {one.operator: one.in_graph for one in found.operators} == {name: theirs.count(name) for name in theirs}
    assert (found.nodes, found.functions) == (len(theirs), 0)


def test_the_signatures_are_protobuf_s(small, proto):
    found = look_into(small["saved_model"]).content.inputs_and_outputs
    dtypes = import_proto("tensorflow.core.framework.types_pb2").DataType
    theirs = {
        (key, direction, name, info.name, tuple(dim.size for dim in info.tensor_shape.dim))
        for key, signature in proto[0].meta_graphs[0].signature_def.items()
        for direction, tensors in (("input", signature.inputs), ("output", signature.outputs))
        for name, info in tensors.items()
    }
    ours = {
        (one.signature, one.direction, one.name, one.tensor, tuple(-1 if a == "?" else a for a in one.shape))
        for one in found
    }
    assert ours == theirs
    assert {one.signature: one.method for one in found} == signatures(small["saved_model"])
    assert {one.name: one.dtype for one in found} | {"x": "float32"} == {
        "inputs": "string",
        "classes": "string",
        "scores": "float32",
        "outputs": "float32",
        "x": "float32",
        "y": "float32",
    }
    assert dtypes.Value("DT_FLOAT") == checkpoint.DTYPES.index("float32")


def test_the_dtypes_are_tensorflow_s():
    theirs = import_proto("tensorflow.core.framework.types_pb2").DataType
    other = {"float": "float32", "double": "float64", "half": "float16"}
    for number, ours in enumerate(checkpoint.DTYPES):
        name = theirs.Name(number).removeprefix("DT_").lower()
        assert other.get(name, name) == ours


def test_the_variables_are_those_of_the_network(small):
    found = look_into(small["saved_model"]).content
    assert sorted((one.dtype, one.shape, one.size_bytes) for one in found.variables) == [
        ("float32", (1,), 4),
        ("float32", (2,), 8),
        ("float32", (2, 1), 8),
        ("float32", (2, 2), 16),
    ]
    assert [one.size_bytes for one in found.variables] == [16, 8, 8, 4]
    assert (found.parameters, found.weight_bytes) == (9, 36)


SAVE = """
import sys
import tensorflow as tf

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.ones((3, 500), tf.float16), name="kernel")
        self.many = [tf.Variable(tf.ones(i + 1), name=f"bias_{i}") for i in range(400)]
        self.table = tf.saved_model.Asset(sys.argv[2])

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def call(self, x):
        return {"y": x + tf.add_n([tf.reduce_sum(one) for one in self.many])}

net = Net()
tf.saved_model.save(net, sys.argv[1], signatures=net.call)
"""


@pytest.mark.slow
def test_names_functions_and_assets_of_a_larger_one(tmp_path):
    (tmp_path / "words.txt").write_text("a\n")
    folder = tmp_path / "net"
    subprocess.run([sys.executable, "-c", SAVE, folder, tmp_path / "words.txt"], check=True, capture_output=True)
    found = look_into(folder).content
    wanted = {f"bias_{i}": ("float32", (i + 1,), 4 * (i + 1)) for i in range(400)} | {
        "kernel": ("float16", (3, 500), 3000)
    }
    assert {one.name: (one.dtype, one.shape, one.size_bytes) for one in found.variables} == wanted
    assert found.variables[0].name == "kernel"
    assert found.assets == ("words.txt",)
    assert found.functions > 0
    [x] = [one for one in found.inputs_and_outputs if one.name == "x"]
    assert x.shape is None
    assert {one.operator: one.in_functions for one in found.operators}["Sum"] == 400
    (folder / "assets" / "words.txt").unlink()
    with pytest.raises(FormatError, match=r"a damaged SavedModel: its asset 'words\.txt' is missing"):
        look_into(folder)


def test_warm_up_requests_files_and_size(small):
    folder = small["saved_model"]
    found = look_into(folder)
    assert found.content.warmup_requests == 27
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert {one.file: one.size_bytes for one in found.content.files} == sizes
    assert found.size_bytes == sum(sizes.values())


def test_no_warm_up_and_no_variables(small):
    folder = small["saved_model"]
    (folder / "assets.extra" / "tf_serving_warmup_requests").unlink()
    (folder / "variables" / "variables.index").unlink()
    found = look_into(folder).content
    assert (found.warmup_requests, found.variables) == (None, ())


@pytest.mark.parametrize("name", ["../words.txt", "/etc/passwd", ""])
def test_an_asset_outside_the_folder_is_named(small, proto, name):
    parsed, write_back = proto
    parsed.meta_graphs[0].asset_file_def.add(filename=name)
    write_back()
    with pytest.raises(FormatError, match=f"small: its asset '{name}' lies outside the folder"):
        look_into(small["saved_model"])


def test_several_graphs_and_a_rank_that_is_not_stated(small, proto):
    parsed, write_back = proto
    second = parsed.meta_graphs.add()
    second.meta_info_def.tags.extend(["serve", "tpu"])
    second.signature_def["free"].inputs["a"].tensor_shape.unknown_rank = True
    second.signature_def["__saved_model_init_op"].outputs["op"].name = "init"
    write_back()
    found = look_into(small["saved_model"]).content
    assert found.tags == ("serve", "serve, tpu")
    assert [(one.name, one.shape) for one in found.inputs_and_outputs if one.tags == "serve, tpu"] == [("a", None)]


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def change(path, at, content):
    whole = bytearray(path.read_bytes())
    whole[at : at + len(content)] = content
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("saved_model.pb", lambda path: cut(path, 1000), "its saved_model.pb is not whole"),
        ("saved_model.pb", lambda path: cut(path, 2), "its saved_model.pb has no graph"),
        ("saved_model.pb", lambda path: cut(path, 0), "its saved_model.pb is empty"),
        ("variables/variables.index", lambda path: cut(path, 100), "its checkpoint index has no footer"),
        ("variables/variables.index", lambda path: cut(path, 0), "its checkpoint index has no footer"),
        ("variables/variables.index", lambda path: change(path, 0, b"\xff" * 8), "its checkpoint index is not whole"),
        (
            "variables/variables.data-00000-of-00001",
            lambda path: cut(path, 20),
            r"its variables\.data-00000-of-00001 has 20 bytes and ends before the variable '.*'",
        ),
        (
            "variables/variables.data-00000-of-00001",
            lambda path: path.unlink(),
            r"its variables\.data-00000-of-00001 is missing",
        ),
        (
            "assets.extra/tf_serving_warmup_requests",
            lambda path: cut(path, 500),
            r"its assets\.extra/tf_serving_warmup_requests ends within request \d+",
        ),
        (
            "assets.extra/tf_serving_warmup_requests",
            lambda path: change(path, 0, struct.pack("<Q", 2**63)),
            r"its assets\.extra/tf_serving_warmup_requests ends within request 1",
        ),
    ],
)
def test_damage_is_named(small, name, damage, reason):
    damage(small["saved_model"] / name)
    with pytest.raises(FormatError, match=f"small: a damaged SavedModel: {reason}"):
        look_into(small["saved_model"])


def test_a_compressed_index_is_refused(small):
    index = small["saved_model"] / "variables" / "variables.index"
    content = index.read_bytes()
    # Footer: metaindex and index handles. The index block is the last: its compression stands before 4 checksum bytes
    # and the footer of 48.
    change(index, len(content) - 48 - 5, b"\x01")
    with pytest.raises(FormatError, match="its checkpoint index is compressed"):
        look_into(small["saved_model"])


def test_an_index_that_unpacks_without_end_is_refused():
    def varint(value):
        out = b""
        while value >= 0x80:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    # One long key, then ten thousand that share it.
    length = 10_000
    data = b"\0" + varint(length) + b"\0" + b"k" * length + (varint(length) + b"\0\0") * 10_000
    data += struct.pack("<II", 0, 1)
    handle = varint(0) + varint(len(data))
    index = b"\0\x01" + varint(len(handle)) + b"k" + handle + struct.pack("<II", 0, 1)
    footer = varint(0) + varint(0) + varint(len(data) + 5) + varint(len(index))
    content = data + bytes(5) + index + bytes(5) + footer.ljust(40, b"\0") + checkpoint._MAGIC
    with pytest.raises(DamagedError, match="unpacks to many times its size"):
        list(checkpoint._entries(content))
