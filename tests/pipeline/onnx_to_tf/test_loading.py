"""Files that are no ONNX models, and external data that is not where it may be."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from contract.errors import FormatError, UsageError

pytestmark = pytest.mark.slow


@pytest.fixture
def loading():
    # Not above: it imports TensorFlow, and this module is read for the fast tests too.
    from pipeline.onnx_to_tf import loading

    return loading


def model(*weights: onnx.TensorProto, shape=("n", 3)) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    nodes = [helper.make_node("Add", ["x", weights[0].name if weights else "x"], ["y"])]
    graph = helper.make_graph(nodes, "net", [x], [y], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def external(location: str, **entries: str) -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_external_data_is_read_from_beside_the_file(tmp_path, loading):
    weight = np.array([1, 2, 3], np.float32)
    path = tmp_path / "m.onnx"
    onnx.save_model(
        model(numpy_helper.from_array(weight, "w")),
        path,
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    assert (tmp_path / "w.bin").is_file()
    assert loading.load(path).graph.initializers["w"].const_value.numpy().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello there, this is no model", "damaged or not an ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "it has not a graph"),
        (model().SerializeToString()[:-9], "damaged or not an ONNX file"),
    ],
)
def test_what_is_no_model_is_one_line(tmp_path, content, message, loading):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        loading.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.onnx", "."])
def test_a_path_without_a_file_is_a_usage_error(tmp_path, name, loading):
    with pytest.raises(UsageError):
        loading.load(tmp_path / name)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", "a/../../secret", "link", "a\\b"])
def test_external_data_outside_the_folder_is_refused(tmp_path, location, loading):
    (tmp_path / "secret").write_bytes(b"\0" * 12)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    path = tmp_path / "in" / "m.onnx"
    path.write_bytes(model(external(location)).SerializeToString())
    with pytest.raises(FormatError, match="outside the model's folder"):
        loading.load(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "up to byte 12 of w.bin, which has 8"),
        ({"offset": "4"}, "up to byte 16"),
        ({"length": "8"}, "takes 12 bytes, and has them at '0' of length '8'"),
        ({"offset": "-4"}, "takes 12 bytes"),
        ({"offset": "x"}, "takes 12 bytes"),
    ],
)
def test_external_data_that_is_too_short_is_refused(tmp_path, entries, message, loading):
    (tmp_path / "w.bin").write_bytes(b"\0" * 8)
    path = tmp_path / "m.onnx"
    path.write_bytes(model(external("w.bin", **entries)).SerializeToString())
    with pytest.raises(FormatError, match=message):
        loading.load(path)


def test_a_missing_external_file_is_named(tmp_path, loading):
    path = tmp_path / "m.onnx"
    path.write_bytes(model(external("w.bin")).SerializeToString())
    with pytest.raises(FormatError, match=r"w\.bin, which is missing; copy it into"):
        loading.load(path)


def test_a_model_in_memory_has_no_external_data(loading):
    with pytest.raises(FormatError, match="a model in memory has no folder"):
        loading.deserialize(model(external("w.bin")), "the model")


@pytest.mark.parametrize(
    "tensor",
    [
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[50_000, 50_000], raw_data=b"\0" * 16),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], float_data=[1, 2]),
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-3], float_data=[]),
        TensorProto(name="w", data_type=TensorProto.INT4, dims=[5], int32_data=[1, 2]),
        TensorProto(name="w", data_type=99, dims=[3], raw_data=b"\0" * 12),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(tensor, loading):
    with pytest.raises(FormatError, match="tensor 'w'"):
        loading.deserialize(model(tensor), "the model")


@pytest.mark.parametrize(
    "tensor",
    [
        helper.make_tensor("w", TensorProto.INT4, [5], [1, 2, 3, 4, 5]),
        helper.make_tensor("w", TensorProto.FLOAT16, [3], [1, 2, 3]),
        helper.make_tensor("w", TensorProto.BFLOAT16, [3], [1, 2, 3]),
        helper.make_tensor("w", TensorProto.STRING, [2], [b"a", b"b"]),
        helper.make_tensor("w", TensorProto.COMPLEX64, [2], [1 + 2j, 3]),
        helper.make_tensor("w", TensorProto.UINT32, [2], [1, 2]),
        helper.make_tensor("w", TensorProto.BOOL, [2], [True, False]),
        helper.make_tensor("w", TensorProto.FLOAT8E4M3FN, [2], [1, 2]),
        helper.make_tensor("w", TensorProto.FLOAT, [0, 4], []),
        helper.make_tensor("w", TensorProto.DOUBLE, [], [1.0]),
        numpy_helper.from_array(np.zeros((2, 3), np.int64), "w"),
    ],
)
def test_every_way_to_store_a_tensor_is_read(tensor, loading):
    assert loading.deserialize(model(tensor), "the model").graph.initializers["w"].const_value is not None


def test_nodes_may_stand_in_any_order(loading):
    proto = model()
    proto.graph.node.insert(0, helper.make_node("Identity", ["y"], ["z"]))
    proto.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3]))
    assert [node.op_type for node in loading.deserialize(proto, "the model").graph] == ["Add", "Identity"]


def test_a_cycle_is_refused(loading):
    proto = model()
    proto.graph.node[0].input[1] = "z"
    proto.graph.node.append(helper.make_node("Identity", ["y"], ["z"]))
    with pytest.raises(FormatError, match="cycle"):
        loading.deserialize(proto, "the model")


def test_a_negative_size_is_a_dynamic_axis(loading):
    read = loading.deserialize(model(shape=(-1, 3)), "the model")
    assert read.graph.inputs[0].shape[0].value is None
    assert read.graph.inputs[0].shape[1] == 3
