"""ONNX Runtime, on files that onnx.helper makes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from contract.errors import RuntimeRefusedError, SpecError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes import load

OPSET = 17
IR_VERSION = 8
"""Of ONNX 1.12, the first with opset 17."""


def save(path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def network_file(weights, tmp_path_factory):
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    nodes = [
        helper.make_node("Gemm", ["x", "hidden_kernel", "hidden_bias"], ["h"]),
        helper.make_node("Sigmoid", ["h"], ["s"]),
        helper.make_node("Gemm", ["s", "output_kernel", "output_bias"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])
    return save(tmp_path_factory.mktemp("onnx") / "network.onnx", nodes, [x], [y], constants)


@pytest.fixture
def identity(tmp_path):
    """Makes a file that gives its one input back."""

    def made(element, shape):
        node = helper.make_node("Identity", ["x"], ["y"])
        x, y = (helper.make_tensor_value_info(name, element, shape) for name in "xy")
        return save(tmp_path / "identity.onnx", [node], [x], [y])

    return made


def test_specs_are_the_file_s(network_file):
    with load("onnxruntime", network_file) as session:
        assert session.runtime == "onnxruntime"
        assert session.inputs == (TensorSpec("x", "float32", ("batch", 2)),)
        assert session.outputs == (TensorSpec("y", "float32", ("batch", 1)),)
        assert not session.quantization


def test_axes_without_a_name_get_one(identity):
    with load("onnxruntime", identity(TensorProto.FLOAT, [None, 3, "width"])) as session:
        assert session.inputs[0].shape == ("axis0", 3, "width")
        assert session.outputs[0].shape == ("axis1", 3, "width")


def test_result_is_numpy_s(network_file, network, x):
    with load("onnxruntime", network_file) as session:
        y = session.run({"x": x})["y"]
    # One sigmoid layer on another in float32, values below 1: a few units of 2**-24.
    np.testing.assert_allclose(y, network(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint16", "int64", "uint64", "bool"])
def test_dtypes(identity, dtype):
    value = np.array([[0, 1], [1, 0]]).astype(dtype)
    with load("onnxruntime", identity(helper.np_dtype_to_tensor_dtype(value.dtype), ["n", 2])) as session:
        assert session.inputs[0].dtype == dtype
        y = session.run({"x": value})["y"]
    assert y.dtype == value.dtype
    np.testing.assert_array_equal(y, value)


def test_strings(identity):
    value = np.array([[b"", "ä".encode()], [b"long " * 9, b"x"]], object)
    with load("onnxruntime", identity(TensorProto.STRING, ["n", 2])) as session:
        assert session.run({"x": value})["y"].tolist() == value.tolist()
        with pytest.raises(SpecError, match="input x: ONNX strings are UTF-8"):
            session.run({"x": np.array([[b"\xff", b""]], object)})


def test_wrong_inputs(network_file, x):
    with load("onnxruntime", network_file) as session:
        with pytest.raises(SpecError, match=r"network.onnx: the inputs are x; given: z"):
            session.run({"z": x})
        with pytest.raises(SpecError, match=r"wanted x float32\[batch, 2\], given float64"):
            session.run({"x": x.astype(np.float64)})
        with pytest.raises(SpecError, match=r"wanted x float32\[batch, 2\], given float32\[1, 5\]"):
            session.run({"x": np.zeros((1, 5), np.float32)})


def test_closed(network_file, x):
    session = load("onnxruntime", network_file)
    session.close()
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run({"x": x})


@pytest.mark.parametrize("content", [b"", b"hello world\n"])
def test_not_a_model(tmp_path, content):
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(RuntimeRefusedError, match=r"text\.onnx: damaged or not an ONNX file"):
        load("onnxruntime", path)


def test_truncated(network_file, halved):
    with pytest.raises(RuntimeRefusedError, match=r"network\.onnx: damaged or not an ONNX file"):
        load("onnxruntime", halved(network_file))


def test_folder(tmp_path):
    with pytest.raises(UsageError, match="a folder, not a model file"):
        load("onnxruntime", tmp_path)


def test_unknown_operator(tmp_path):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    path = save(tmp_path / "foo.onnx", [helper.make_node("Foo", ["x"], ["y"])], [x], [y])
    with pytest.raises(RuntimeRefusedError, match=r"foo.onnx: onnxruntime refuses it: .*No Op registered for Foo"):
        load("onnxruntime", path)


def test_type_that_numpy_has_not(identity):
    with pytest.raises(RuntimeRefusedError, match=r"x is tensor\(bfloat16\)"):
        load("onnxruntime", identity(TensorProto.BFLOAT16, [1]))


def test_failure_of_an_operator(tmp_path):
    x, shape = (
        helper.make_tensor_value_info(name, element, ["n"])
        for name, element in (("x", TensorProto.FLOAT), ("shape", TensorProto.INT64))
    )
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    path = save(tmp_path / "reshape.onnx", [helper.make_node("Reshape", ["x", "shape"], ["y"])], [x, shape], [y])
    with (
        load("onnxruntime", path) as session,
        pytest.raises(RuntimeRefusedError, match=r"reshape.onnx: .*Reshape") as caught,
    ):
        session.run({"x": np.zeros(2, np.float32), "shape": np.array([3, 5])})
    assert "\n" not in str(caught.value)


def test_neither_framework_is_loaded(network_file, python):
    modules = python(
        "import sys; from pathlib import Path; import runtimes; "
        f"runtimes.load('onnxruntime', Path({str(network_file)!r})); print(*sys.modules)"
    ).split()
    assert "onnxruntime" in modules
    assert not {"torch", "tensorflow", "onnx"} & set(modules)


def test_onnx_made_the_model(network_file):
    onnx.checker.check_model(onnx.load(network_file), full_check=True)
