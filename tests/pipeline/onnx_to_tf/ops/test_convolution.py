"""Conv, ConvTranspose, DeformConv and Col2Im beyond ONNX's own tests: against ONNX Runtime, in all forms."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper

from contract.errors import UnsupportedOpError

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, NDArray[Any]]]


def _model(
    op_type: str, x: tuple[Any, ...], w: NDArray[Any], b: NDArray[Any] | None = None, opset: int = 17, **attributes: Any
) -> onnx.ModelProto:
    weights = {"w": w} if b is None else {"w": w, "b": b}
    dtype = ir.tensor(w).dtype.value
    node = helper.make_node(op_type, ["x", *weights], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", dtype, x)],
        [helper.make_tensor_value_info("y", dtype, [None] * len(x))],
        [ir.to_proto(ir.tensor(array, name=name)) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _random(*shape: int, seed: int = 0, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


_CONVS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1d": ((2, 4, 11), (6, 4, 3), {"pads": [1, 1], "strides": [2]}),
    "1d depthwise dilated": ((2, 4, 11), (4, 1, 3), {"group": 4, "dilations": [2], "pads": [2, 2]}),
    "1d depthwise strided": ((2, 4, 11), (8, 1, 3), {"group": 4, "strides": [2], "pads": [1, 0]}),
    "same by pads": ((1, 3, 9, 8), (5, 3, 3, 5), {"pads": [1, 2, 1, 2]}),
    "same upper strided": ((1, 3, 9, 8), (5, 3, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "same lower strided": ((1, 3, 9, 8), (5, 3, 3, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 3]}),
    "valid": ((1, 3, 9, 8), (5, 3, 3, 4), {"auto_pad": "VALID", "strides": [1, 2]}),
    "grouped": ((2, 6, 9, 8), (9, 2, 3, 3), {"group": 3, "strides": [2, 2], "pads": [1, 0, 2, 1]}),
    "grouped dilated": ((2, 6, 9, 8), (9, 2, 3, 3), {"group": 3, "dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    "depthwise": ((2, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "depthwise multiplied": ((2, 6, 9, 8), (12, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    "depthwise uneven": ((2, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "strides": [1, 2], "pads": [0, 1, 1, 0]}),
    "depthwise dilated": ((2, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    "depthwise dilated, strided": ((2, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "dilations": [2, 2], "strides": [2, 2]}),
    "3d": ((1, 3, 6, 7, 8), (4, 3, 3, 3, 3), {"strides": [2, 1, 2], "pads": [1, 1, 1, 1, 1, 0]}),
    "3d dilated": ((1, 3, 6, 7, 8), (4, 3, 2, 3, 3), {"dilations": [2, 1, 2], "strides": [2, 1, 1]}),
    "3d grouped": ((2, 4, 6, 7, 8), (6, 2, 3, 2, 3), {"group": 2, "pads": [1, 1, 1, 1, 0, 1]}),
    "3d depthwise": ((2, 4, 6, 7, 8), (4, 1, 3, 3, 3), {"group": 4, "auto_pad": "SAME_UPPER"}),
}

_TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1d": ((2, 4, 7), (4, 5, 3), {"strides": [2], "pads": [1, 0], "output_padding": [1]}),
    "twice as large": ((1, 4, 5, 6), (4, 3, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "output padding": (
        (1, 4, 5, 6),
        (4, 3, 3, 3),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    "output padding alone": ((1, 4, 5, 6), (4, 3, 3, 2), {"strides": [3, 2], "output_padding": [2, 1]}),
    "stride beyond kernel": ((1, 4, 5, 6), (4, 3, 2, 2), {"strides": [3, 3]}),
    "stride of 1": ((1, 4, 5, 6), (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    "same upper": ((1, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((1, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "output shape": ((1, 4, 5, 6), (4, 3, 3, 3), {"strides": [2, 2], "output_shape": [10, 12]}),
    "output shape, upper": (
        (1, 4, 5, 6),
        (4, 3, 3, 3),
        {"strides": [2, 2], "output_shape": [10, 11], "auto_pad": "SAME_UPPER"},
    ),
    "grouped": ((2, 6, 5, 6), (6, 2, 3, 3), {"group": 3, "strides": [2, 1], "pads": [1, 1, 0, 1]}),
    "depthwise": ((2, 6, 5, 6), (6, 1, 4, 4), {"group": 6, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "dilated": ((2, 4, 5, 6), (4, 3, 3, 2), {"dilations": [2, 3], "strides": [2, 2], "pads": [1, 2, 0, 1]}),
    "3d": ((1, 3, 3, 4, 5), (3, 2, 2, 3, 3), {"strides": [2, 2, 1], "pads": [0, 1, 1, 1, 0, 1]}),
    "3d grouped": ((1, 4, 3, 4, 5), (4, 2, 2, 3, 3), {"group": 2, "strides": [2, 2, 1]}),
}


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", _CONVS)
def test_conv(check: Check, form: str, is_dynamic: bool) -> None:
    """Each form, with known axes also in TFLite."""
    x, w, attributes = _CONVS[form]
    shape = (None, x[1], *[None] * (len(x) - 2)) if is_dynamic else x
    model = _model("Conv", shape, _random(*w, seed=1), _random(w[0], seed=2), **attributes)
    check(model, {"x": _random(*x)}, tflite=not is_dynamic, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", _TRANSPOSED)
def test_conv_transpose(check: Check, form: str, is_dynamic: bool) -> None:
    """Each form, with known axes also in TFLite."""
    x, w, attributes = _TRANSPOSED[form]
    bias = _random(w[1] * attributes.get("group", 1), seed=2)
    shape = (None, x[1], *[None] * (len(x) - 2)) if is_dynamic else x
    model = _model("ConvTranspose", shape, _random(*w, seed=1), bias, **attributes)
    check(model, {"x": _random(*x)}, tflite=not is_dynamic, rtol=1e-4, atol=1e-5)


def test_dilated_conv_of_the_same_size(check: Check) -> None:
    """ONNX Runtime refuses it; expected is its answer for the pads that the specification gives."""
    from pipeline.onnx_to_tf.convert import to_module

    w, x = _random(5, 3, 2, 3, seed=1), _random(1, 3, 9, 8)
    stated = check(_model("Conv", x.shape, w, dilations=[2, 2], pads=[1, 2, 1, 2]), {"x": x}, rtol=1e-4, atol=1e-5)
    for way in ("SAME_UPPER", "SAME_LOWER"):
        module = to_module(_model("Conv", x.shape, w, dilations=[2, 2], auto_pad=way))
        np.testing.assert_allclose(module.serve(x)["y"], stated["y"], rtol=1e-4, atol=1e-5)


def test_conv_of_other_sizes(check: Check) -> None:
    """One model, heights and widths that differ from call to call, odd and even; also in TFLite."""
    model = _model("Conv", (None, 3, None, None), _random(4, 3, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER")
    check(model, {"x": _random(1, 3, 8, 9)}, {"x": _random(2, 3, 7, 12)}, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("opset", [7, 11, 22])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_opsets_and_types(check: Check, op_type: str, opset: int, dtype: Any) -> None:
    """Since opset 7; in double precision too."""
    if dtype == np.float64 and op_type == "ConvTranspose":
        pytest.skip("ONNX Runtime has no such kernel")
    w = _random(4, 4, 3, 3, seed=1, dtype=dtype)
    model = _model(op_type, (1, 4, 6, 6), w, opset=opset, strides=[2, 2], pads=[1, 1, 1, 1])
    is_lacking = dtype == np.float64
    check(model, {"x": _random(1, 4, 6, 6, dtype=dtype)}, reference=is_lacking, rtol=1e-4, atol=1e-5)


def test_half_precision(check: Check) -> None:
    """Float16 sums in float32, as the reference in float64 rounded."""
    w = _random(4, 8, 3, 3, seed=1, dtype=np.float16)
    model = _model("Conv", (1, 8, 6, 6), w, pads=[1, 1, 1, 1])
    check(model, {"x": _random(1, 8, 6, 6, dtype=np.float16)}, reference=True, rtol=1e-2, atol=2e-2)


def test_bfloat16(check: Check) -> None:
    """Bfloat16, of opset 22, against the same in float32."""
    w = _random(4, 8, 3, 3, seed=1).astype(ml_dtypes.bfloat16)
    x = _random(1, 8, 6, 6).astype(ml_dtypes.bfloat16)
    wide = check(_model("Conv", x.shape, w.astype(np.float32)), {"x": x.astype(np.float32)}, rtol=1e-4, atol=1e-5)
    from pipeline.onnx_to_tf.convert import to_module

    module = to_module(_model("Conv", x.shape, w, opset=22))
    given = module.serve(x)["y"].numpy().astype(np.float32)
    np.testing.assert_allclose(given, wide["y"], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("form", ["grouped", "grouped dilated", "depthwise dilated", "3d dilated"])
def test_gradients(form: str) -> None:
    """A converted convolution can be trained: its weights are variables that get the derivative of differences."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    x, w, attributes = _CONVS[form]
    module = to_module(_model("Conv", x, _random(*w, seed=1), **attributes))
    weights, given = module.weights["w"], tf.constant(_random(*x))
    direction = tf.constant(_random(*w, seed=3))

    def loss(step: float) -> Any:
        weights.assign(_random(*w, seed=1) + step * direction)
        return tf.reduce_sum(tf.square(module.serve(given)["y"]))

    difference = (loss(1e-2) - loss(-1e-2)) / 2e-2
    weights.assign(_random(*w, seed=1))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(module.serve(given)["y"]))
    slope = tf.reduce_sum(tape.gradient(total, weights) * direction)
    np.testing.assert_allclose(slope, difference, rtol=1e-2)


@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
def test_deform_conv(check: Check, groups: tuple[int, int], is_dynamic: bool) -> None:
    """Groups of channels and of offsets; places within and far outside."""
    group, offset_group = groups
    shapes = {"x": (2, 4, 6, 9), "o": (2, offset_group * 12, 4, 3), "m": (2, offset_group * 6, 4, 3)}
    known = {name: (None, shape[1], None, None) if is_dynamic else shape for name, shape in shapes.items()}
    node = helper.make_node(
        "DeformConv",
        ["x", "w", "o", "b", "m"],
        ["y"],
        group=group,
        offset_group=offset_group,
        pads=[1, 1, 1, 0],
        strides=[2, 2],
        dilations=[1, 2],
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(name, 1, shape) for name, shape in known.items()],
        [helper.make_tensor_value_info("y", 1, [None] * 4)],
        [
            onnx.numpy_helper.from_array(_random(6, 4 // group, 2, 3, seed=4), "w"),
            onnx.numpy_helper.from_array(_random(6, seed=5), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    call = {name: 2 * _random(*shape, seed=seed) for seed, (name, shape) in enumerate(shapes.items())}
    check(model, call, reference=True, tflite=not is_dynamic, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_static", [True, False])
def test_col2im(check: Check, is_static: bool) -> None:
    """Shapes that are initializers, and such that are known only when the model runs."""
    sizes = {"image": np.array([5, 6], np.int64), "block": np.array([2, 3], np.int64)}
    node = helper.make_node(
        "Col2Im", ["x", "image", "block"], ["y"], pads=[1, 0, 1, 1], strides=[2, 1], dilations=[1, 2]
    )
    inputs = [helper.make_tensor_value_info("x", 1, [None, 12, None])]
    if not is_static:
        inputs += [helper.make_tensor_value_info(name, 7, [2]) for name in sizes]
    graph = helper.make_graph(
        [node],
        "g",
        inputs,
        [helper.make_tensor_value_info("y", 1, [None] * 4)],
        [onnx.numpy_helper.from_array(array, name) for name, array in sizes.items()] if is_static else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = _random(2, 12, 3 * 3)
    check(model, {"x": x} if is_static else {"x": x, **sizes})


def test_refusal() -> None:
    """What does not fit is refused by name, with the form that would do."""
    from pipeline.onnx_to_tf.convert import to_module

    with pytest.raises(UnsupportedOpError, match="auto_pad is ALIKE; NOTSET"):
        to_module(_model("Conv", (1, 3, 8, 8), _random(4, 3, 3, 3), auto_pad="ALIKE"))
