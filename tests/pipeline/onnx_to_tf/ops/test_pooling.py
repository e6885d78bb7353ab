"""Pooling beyond ONNX's own tests: against ONNX Runtime, with known and unknown axes, of old opsets, in TFLite."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, NDArray[Any]]]


def _model(
    op_type: str,
    x: tuple[Any, ...],
    opset: int = 22,
    dtype: int = TensorProto.FLOAT,
    outputs: int = 1,
    **attributes: Any,
) -> onnx.ModelProto:
    node = helper.make_node(op_type, ["x"], ["y", "i"][:outputs], **attributes)
    types = {"y": dtype, "i": TensorProto.INT64}
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", dtype, x)],
        [helper.make_tensor_value_info(name, types[name], [None] * len(x)) for name in node.output],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _random(*shape: int, seed: int = 0, dtype: Any = np.float32) -> NDArray[Any]:
    return (np.random.default_rng(seed).standard_normal(shape) * 10).astype(dtype)


_FORMS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "1d": ((2, 3, 11), {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
    "same by pads": ((2, 3, 9, 8), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "as in ResNet": ((2, 3, 10, 9), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "uneven": ((2, 3, 10, 9), {"kernel_shape": [3, 4], "strides": [2, 3], "pads": [0, 2, 1, 1]}),
    "same upper": ((2, 3, 10, 9), {"kernel_shape": [3, 4], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((2, 3, 10, 9), {"kernel_shape": [3, 4], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "valid": ((2, 3, 10, 9), {"kernel_shape": [3, 4], "strides": [2, 2], "auto_pad": "VALID"}),
    "3d": ((1, 2, 7, 8, 9), {"kernel_shape": [2, 3, 3], "strides": [2, 1, 2], "pads": [1, 1, 0, 0, 1, 1]}),
    "3d same": ((1, 2, 7, 8, 9), {"kernel_shape": [2, 3, 3], "strides": [2, 1, 2], "auto_pad": "SAME_UPPER"}),
}

_CEILED: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "one row more": ((1, 2, 10, 9), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "padded": ((1, 2, 10, 9), {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 1, 1, 1]}),
    "no window beyond": ((1, 2, 10, 9), {"kernel_shape": [1, 2], "strides": [2, 3], "pads": [0, 1, 0, 1]}),
    "3d, one more": ((1, 2, 5, 6, 7), {"kernel_shape": [2, 3, 3], "strides": [2, 2, 2], "pads": [1, 0, 1, 0, 1, 1]}),
}

_DILATED: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "2d": ((2, 3, 10, 9), {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 0, 1, 1]}),
    "strided": ((2, 3, 10, 9), {"kernel_shape": [3, 2], "dilations": [2, 1], "strides": [2, 2]}),
}


def _shape(x: tuple[int, ...], is_dynamic: bool) -> tuple[Any, ...]:
    return (None, x[1], *[None] * (len(x) - 2)) if is_dynamic else x


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_forms(check: Check, op_type: str, form: str, is_dynamic: bool) -> None:
    """Each form, with known axes also in TFLite."""
    x, attributes = _FORMS[form]
    model = _model(op_type, _shape(x, is_dynamic), opset=18, **attributes)
    check(model, {"x": _random(*x)}, tflite=not is_dynamic, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", [*_FORMS, *_CEILED])
def test_average_with_padding(check: Check, form: str, is_dynamic: bool) -> None:
    """``count_include_pad``: the stated padding counts, what lies beyond it does not."""
    x, attributes = (_FORMS | _CEILED)[form]
    attributes = attributes | ({"ceil_mode": 1} if form in _CEILED else {})
    model = _model("AveragePool", _shape(x, is_dynamic), count_include_pad=1, **attributes)
    check(model, {"x": _random(*x)}, tflite=not is_dynamic, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", _CEILED)
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_ceil_mode(check: Check, op_type: str, form: str, is_dynamic: bool) -> None:
    """Windows that stick out, except those that would begin outside."""
    x, attributes = _CEILED[form]
    model = _model(op_type, _shape(x, is_dynamic), ceil_mode=1, **attributes)
    check(model, {"x": _random(*x)}, tflite=not is_dynamic, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", _DILATED)
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_dilations(check: Check, op_type: str, form: str, is_dynamic: bool) -> None:
    """Dilated windows."""
    x, attributes = _DILATED[form]
    model = _model(op_type, _shape(x, is_dynamic), **attributes)
    check(model, {"x": _random(*x)}, tflite=not is_dynamic, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", ["1d", "as in ResNet", "uneven", "same lower", "3d", "2d"])
@pytest.mark.parametrize("order", [0, 1])
def test_indices(check: Check, form: str, order: int, is_dynamic: bool) -> None:
    """Where the largest stand, by rows and by columns; of equal ones the first."""
    x, attributes = (_FORMS | _DILATED)[form]
    model = _model("MaxPool", _shape(x, is_dynamic), outputs=2, storage_order=order, **attributes)
    check(model, {"x": np.round(_random(*x) / 10)}, tflite=not is_dynamic)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float64"])
@pytest.mark.parametrize("is_dilated", [False, True])
def test_types(check: Check, dtype: str, is_dilated: bool) -> None:
    """Whole numbers, whose padding is less than any of them."""
    x = (_random(1, 2, 8, 8) - 20).astype(np.int8).astype(dtype)
    attributes: dict[str, Any] = {"dilations": [2, 2]} if is_dilated else {}
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = _model("MaxPool", x.shape, dtype=code, kernel_shape=[3, 3], pads=[1, 1, 1, 1], **attributes)
    check(model, {"x": x})


def test_what_is_not_negative_is_padded_by_zeros(check: Check) -> None:
    """Behind a Relu the padding of MaxPool is 0, which leaves quantization its range, and no window shows it."""
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[1, 2, 9, 9] x) => (float[a, b, c, d] y) {
        r = Relu(x)
        y = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(r)
    }"""
    check(text, {"x": _random(1, 2, 9, 9)}, {"x": -np.abs(_random(1, 2, 9, 9))}, tflite=True)


@pytest.mark.parametrize("opset", [7, 8, 10, 11, 12])
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_opsets(check: Check, op_type: str, opset: int) -> None:
    """Since opset 7."""
    model = _model(op_type, (1, 2, 8, 9), opset=opset, kernel_shape=[3, 3], strides=[2, 1], pads=[1, 0, 0, 1])
    check(model, {"x": _random(1, 2, 8, 9)}, rtol=1e-4)


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("op_type", ["GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"])
@pytest.mark.parametrize("size", [(2, 3, 7), (2, 3, 5, 6), (2, 3, 4, 5, 6)])
def test_global(check: Check, op_type: str, size: tuple[int, ...], is_dynamic: bool) -> None:
    """Of one to three axes."""
    model = _model(op_type, _shape(size, is_dynamic), opset=17)
    check(model, {"x": _random(*size)}, tflite=not is_dynamic, rtol=1e-4)


@pytest.mark.parametrize("p", [1, 3])
def test_other_norms(check: Check, p: int) -> None:
    """Norms beside the Euclidean one."""
    model = _model("LpPool", (1, 2, 8, 9), opset=17, kernel_shape=[3, 2], p=p)
    check(model, {"x": _random(1, 2, 8, 9)}, tflite=True, rtol=1e-4)


_UNPOOLED = """<ir_version: 8, opset_import: ["": 17]>
g (float[N, 2, H, W] x) => (float[a, b, c, d] z, float[e, f, g, h] w) {
    y, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
    shape = Shape(x)
    z = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(y, i, shape)
    u, j = MaxPool<kernel_shape = [3, 3], strides = [1, 1]>(x)
    w = MaxUnpool<kernel_shape = [3, 3], strides = [1, 1]>(u, j)
}"""


def test_max_unpool(check: Check) -> None:
    """What MaxPool found goes back to where it was, also at an odd size, and once where windows overlap."""
    check(_UNPOOLED, {"x": _random(2, 2, 6, 8)}, {"x": _random(1, 2, 7, 5)})
    check(_UNPOOLED, {"x": np.round(_random(2, 2, 6, 8))})


def test_max_unpool_in_tflite(check: Check) -> None:
    """Windows that do not overlap, in built-in operators alone."""
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[1, 2, 7, 5] x) => (float[a, b, c, d] z) {
        y, i = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
        z = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(y, i, shape)
    }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 2, 7, 5], np.int64), "shape"))
    check(model, {"x": _random(1, 2, 7, 5)}, tflite=True)
