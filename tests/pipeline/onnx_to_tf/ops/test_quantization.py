"""Quantizing, dequantizing and products of what is quantized, against ONNX Runtime."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:\s+Warning. tf.lite.Interpreter is deprecated:UserWarning"),
]

Array = NDArray[Any]
Check = Callable[..., dict[str, Array]]
_random = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return _random.normal(size=shape).astype(np.float32)


def codes(dtype: Any, *shape: int) -> Array:
    info = np.iinfo(dtype)
    return _random.integers(info.min, info.max, shape, dtype, endpoint=True)


def f32(value: float) -> Array:
    return np.array(value, np.float32)


def model(
    op_type: str,
    inputs: Mapping[str, Array | None],
    dtypes: Mapping[str, int],
    *,
    version: int,
    is_dynamic: bool = False,
    constants: Mapping[str, onnx.TensorProto] | None = None,
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """One node; an input whose name begins with a capital is an initializer, one that is None is left out."""
    node = helper.make_node(
        op_type,
        [n if a is not None or n in (constants or {}) else "" for n, a in inputs.items()],
        list(dtypes),
        **attributes,
    )
    given = {name: array for name, array in inputs.items() if array is not None and not name[0].isupper()}
    held = {name: array for name, array in inputs.items() if array is not None and name[0].isupper()}
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(array.dtype),
                [f"{name}{axis}" for axis in range(array.ndim)] if is_dynamic else array.shape,
            )
            for name, array in given.items()
        ],
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in dtypes.items()],
        [*(numpy_helper.from_array(array, name) for name, array in held.items()), *(constants or {}).values()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=10), given


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("version", [10, 13, 19, 21])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_quantize_halves(check: Check, dtype: type, version: int, held: bool, is_dynamic: bool) -> None:
    """Numbers that lie on multiples of half a step, where a division that is off by a bit rounds the other way."""
    x = np.arange(-300, 300).astype(np.float32) * f32(0.025)
    names = ("S", "Z") if held else ("s", "z")
    inputs = {"x": x, names[0]: f32(0.05), names[1]: np.array(7, dtype)}
    proto, given = model(
        "QuantizeLinear",
        inputs,
        {"y": helper.np_dtype_to_tensor_dtype(np.dtype(dtype))},
        version=version,
        is_dynamic=is_dynamic,
    )
    check(proto, given, rtol=0, atol=0)


@pytest.mark.parametrize("version", [19, 21, 23])
def test_quantize_half_precision(check: Check, version: int) -> None:
    """Since version 23 the quotient is one of float16."""
    inputs: dict[str, Array | None] = {
        "x": (floats(20000) * 3).astype(np.float16),
        "S": np.array(0.0371, np.float16),
        "Z": np.array(3, np.uint8),
    }
    check(*model("QuantizeLinear", inputs, {"y": TensorProto.UINT8}, version=version), rtol=0, atol=0)


@pytest.mark.parametrize("op_type", ["QuantizeLinear", "DequantizeLinear"])
@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("version", [13, 19, 21])
def test_by_axis(check: Check, version: int, axis: int, is_dynamic: bool, op_type: str) -> None:
    size = (3, 4, 5)[axis]
    is_quantizing = op_type == "QuantizeLinear"
    x = floats(3, 4, 5) * 9 if is_quantizing else codes(np.int8, 3, 4, 5)
    inputs = {"x": x, "S": np.abs(floats(size)) + f32(0.01), "Z": codes(np.int8, size)}
    dtypes = {"y": TensorProto.INT8 if is_quantizing else TensorProto.FLOAT}
    proto, given = model(op_type, inputs, dtypes, version=version, is_dynamic=is_dynamic, axis=axis)
    check(proto, given, rtol=0, atol=0, tflite=not is_dynamic)


@pytest.mark.parametrize("op_type", ["QuantizeLinear", "DequantizeLinear"])
@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize(("axis", "block"), [(0, 2), (1, 3), (-1, 4)])
def test_by_block(check: Check, axis: int, block: int, is_dynamic: bool, op_type: str) -> None:
    shape = [4, 6, 8]
    is_quantizing = op_type == "QuantizeLinear"
    x = floats(*shape) * 9 if is_quantizing else codes(np.int8, *shape)
    shape[axis] //= block
    inputs = {"x": x, "S": np.abs(floats(*shape)) + f32(0.01), "Z": codes(np.int8, *shape)}
    dtypes = {"y": TensorProto.INT8 if is_quantizing else TensorProto.FLOAT}
    proto, given = model(op_type, inputs, dtypes, version=21, is_dynamic=is_dynamic, axis=axis, block_size=block)
    check(proto, given, rtol=0, atol=0, tflite=not is_dynamic)


def test_dequantize_bias(check: Check) -> None:
    bias = _random.integers(-(2**30), 2**30, 5).astype(np.int32)
    check(*model("DequantizeLinear", {"x": bias, "S": f32(1e-4)}, {"y": TensorProto.FLOAT}, version=13), rtol=0)


@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
def test_four_bit_weights(check: Check, kind: int) -> None:
    """By block, as the weights of language models are."""
    low = -8 if kind == TensorProto.INT4 else 0
    weights = helper.make_tensor("W", kind, [8, 6], _random.integers(low, low + 16, 48))
    zeros = helper.make_tensor("Z", kind, [2, 6], _random.integers(low, low + 16, 12))
    proto, _ = model(
        "DequantizeLinear",
        {"W": None, "S": np.abs(floats(2, 6)), "Z": None},
        {"w": TensorProto.FLOAT},
        version=21,
        constants={"W": weights, "Z": zeros},
        axis=0,
        block_size=4,
    )
    proto.graph.node.append(helper.make_node("MatMul", ["x", "w"], ["y"]))
    proto.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8]))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 6]))
    check(proto, {"x": floats(3, 8)}, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True])
def test_dynamic_quantize(check: Check, is_dynamic: bool) -> None:
    kinds = {"y": TensorProto.UINT8, "s": TensorProto.FLOAT, "z": TensorProto.UINT8}
    for x in (floats(3, 40), np.abs(floats(3, 40)) + 1, -np.abs(floats(3, 40)) - 1, np.zeros((3, 40), np.float32)):
        proto, given = model("DynamicQuantizeLinear", {"x": x}, kinds, version=11, is_dynamic=is_dynamic)
        check(proto, given, rtol=1e-7, atol=0)


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("depth", [3, 200, 1000, 5000, 40000])
@pytest.mark.parametrize("held", [False, True])
def test_matmul_integer(check: Check, held: bool, depth: int, is_dynamic: bool) -> None:
    """The largest factors that there are: a sum that float32 cannot hold is off."""
    a = np.where(_random.random((2, 4, depth)) < 0.9, 255, 254).astype(np.uint8)
    b = np.where(_random.random((depth, 5)) < 0.9, 127, 126).astype(np.int8)
    names = ("B", "M", "N") if held else ("b", "m", "n")
    inputs = {
        "a": a,
        names[0]: b,
        names[1]: np.array(1, np.uint8),
        names[2]: codes(np.int8, 5) if held else np.array(-3, np.int8),
    }
    proto, given = model("MatMulInteger", inputs, {"y": TensorProto.INT32}, version=10, is_dynamic=is_dynamic)
    check(proto, given, rtol=0, atol=0, tflite=not is_dynamic)


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_qlinear_matmul(check: Check, dtype: type, by_column: bool, is_dynamic: bool) -> None:
    inputs = {
        "a": codes(dtype, 2, 4, 300),
        "As": f32(0.01),
        "Az": np.array(3, dtype),
        "W": codes(np.int8, 300, 6),
        "Ws": (np.abs(floats(6)) / 50 + f32(0.001)) if by_column else f32(0.02),
        "Wz": codes(np.int8, 6) if by_column else np.array(5, np.int8),
        "Ys": f32(2.0),
        "Yz": np.array(100, dtype),
    }
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    proto, given = model("QLinearMatMul", inputs, {"y": kind}, version=10, is_dynamic=is_dynamic)
    check(proto, given, rtol=0, atol=0, tflite=not is_dynamic)


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize(
    ("dtype", "group", "attributes"),
    [
        (np.uint8, 1, {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        (np.int8, 2, {"pads": [0, 1, 2, 1]}),
        (np.uint8, 8, {"auto_pad": "SAME_UPPER"}),
    ],
)
def test_qlinear_conv(
    check: Check, dtype: type, group: int, attributes: dict[str, Any], by_channel: bool, is_dynamic: bool
) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = {
        "x": codes(dtype, 2, 8, 9, 10),
        "Xs": f32(0.02),
        "Xz": np.array(100, dtype),
        "W": codes(np.int8, 16, 8 // group, 3, 3),
        "Ws": np.abs(floats(16)) / 50 + f32(0.001) if by_channel else f32(0.02),
        "Wz": np.zeros(16, np.int8) if by_channel else np.array(0, np.int8),
        "Ys": f32(0.4),
        "Yz": np.array(90, dtype),
        "B": _random.integers(-9999, 9999, 16).astype(np.int32),
    }
    proto, given = model("QLinearConv", inputs, {"y": kind}, version=10, group=group, **attributes)
    if is_dynamic:
        for axis in (0, 2, 3):
            proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"d{axis}"
    check(proto, given, rtol=0, atol=0, tflite=not is_dynamic)


def test_deep_conv_integer(check: Check) -> None:
    """A sum that float32 does not hold."""
    x = np.where(_random.random((1, 2048, 4, 4)) < 0.9, 255, 254).astype(np.uint8)
    w = np.where(_random.random((3, 2048, 3, 3)) < 0.9, 255, 254).astype(np.uint8)
    inputs = {"x": x, "W": w, "Xz": np.array(0, np.uint8), "Wz": np.array(0, np.uint8)}
    proto, given = model("ConvInteger", inputs, {"y": TensorProto.INT32}, version=10, pads=[1, 1, 1, 1])
    check(proto, given, rtol=0, atol=0, tflite=True)
