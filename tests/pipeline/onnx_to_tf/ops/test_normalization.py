"""Normalization, Softmax, losses and Dropout beyond ONNX's own tests: unknown axes, old opsets, types, training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, NDArray[Any]]]


def _model(
    op_type: str,
    x: tuple[Any, ...],
    weights: dict[str, NDArray[Any]] | None = None,
    outputs: int = 1,
    opset: int = 17,
    dtype: Any = np.float32,
    **attributes: Any,
) -> onnx.ModelProto:
    weights = weights or {}
    node = helper.make_node(op_type, ["x", *weights], [f"y{i}" for i in range(outputs)], **attributes)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", code, x)],
        [helper.make_tensor_value_info(name, code if i == 0 else 1, None) for i, name in enumerate(node.output)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _random(*shape: int, seed: int = 0, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def _statistics(channels: int) -> dict[str, NDArray[Any]]:
    names = ("scale", "bias", "mean", "var")
    drawn = {name: _random(channels, seed=seed) for seed, name in enumerate(names, 1)}
    return drawn | {"var": np.abs(drawn["var"]) + np.float32(0.1)}


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("size", [(4, 3), (2, 3, 7), (2, 3, 5, 6), (2, 3, 2, 4, 5)])
def test_batch_normalization(check: Check, size: tuple[int, ...], opset: int) -> None:
    """By stored statistics, of any rank, with known axes also in TFLite."""
    dynamic = (None, 3, *[None] * (len(size) - 2))
    check(_model("BatchNormalization", dynamic, _statistics(3), opset=opset), {"x": _random(*size)}, rtol=1e-4)
    fixed = _model("BatchNormalization", size, _statistics(3), opset=opset, epsilon=1e-3)
    check(fixed, {"x": _random(*size)}, tflite=True, rtol=1e-4, atol=1e-5)


def test_batch_normalization_by_element(check: Check) -> None:
    """Before opset 9 ``spatial`` 0 has statistics for each element but the batch."""
    weights = {name: np.abs(_random(3, 4, 5, seed=seed)) for seed, name in enumerate(("s", "b", "m", "v"))}
    model = _model("BatchNormalization", (None, 3, 4, 5), weights, opset=7, spatial=0)
    check(model, {"x": _random(2, 3, 4, 5)}, rtol=1e-4, atol=1e-5)


def test_batch_normalization_in_training() -> None:
    """Of old opsets: whoever wants the further outputs wants the batch's own statistics; against NumPy."""
    from pipeline.onnx_to_tf.convert import to_module

    weights, x = _statistics(3), _random(4, 3, 5)
    module = to_module(_model("BatchNormalization", (4, 3, 5), weights, outputs=5, opset=7, momentum=0.8))
    given = [tensor.numpy() for tensor in module.serve(x).values()]
    mean, var = x.mean((0, 2)), x.var((0, 2))
    y = (x - mean[:, None]) / np.sqrt(var[:, None] + 1e-5) * weights["scale"][:, None] + weights["bias"][:, None]
    expected = [y, 0.8 * weights["mean"] + 0.2 * mean, 0.8 * weights["var"] + 0.2 * var, mean, var]
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_batch_normalization_of_mixed_types() -> None:
    """A float16 input with statistics in float32, which opset 15 allows."""
    from pipeline.onnx_to_tf.convert import to_module

    x = _random(2, 3, 4, dtype=np.float16)
    module = to_module(_model("BatchNormalization", x.shape, _statistics(3), opset=15, dtype=np.float16))
    s = {name: array[:, None] for name, array in _statistics(3).items()}
    y = (x.astype(np.float32) - s["mean"]) / np.sqrt(s["var"] + 1e-5) * s["scale"] + s["bias"]
    np.testing.assert_allclose(module.serve(x)["y0"], y.astype(np.float16), rtol=2e-3, atol=2e-3)


def test_batch_normalization_trains_its_weights() -> None:
    """Scale and bias are variables, and the output depends on them."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    module = to_module(_model("BatchNormalization", (2, 3, 4), _statistics(3)))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(module.serve(_random(2, 3, 4))["y0"]))
    variables = [module.weights["scale"], module.weights["bias"]]
    assert all(float(tf.reduce_sum(tf.abs(slope))) > 0 for slope in tape.gradient(total, variables))


@pytest.mark.parametrize("opset", [7, 17, 22])
def test_instance_normalization(check: Check, opset: int) -> None:
    """With unknown height and width, and in TFLite with known ones."""
    weights, x = {"s": _random(3, seed=1), "b": _random(3, seed=2)}, _random(2, 3, 5, 6)
    check(_model("InstanceNormalization", (None, 3, None, None), weights, opset=opset), {"x": x}, rtol=1e-4, atol=1e-5)
    check(_model("InstanceNormalization", x.shape, weights, opset=opset), {"x": x}, tflite=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("opset", "entries"), [(18, 2), (21, 6)])
def test_group_normalization(check: Check, opset: int, entries: int) -> None:
    """Scale by group, and since opset 21 by channel."""
    weights, x = {"s": _random(entries, seed=1), "b": _random(entries, seed=2)}, _random(2, 6, 4, 5)
    for shape in ((None, 6, None, None), x.shape):
        model = _model("GroupNormalization", shape, weights, opset=opset, num_groups=2)
        check(model, {"x": x}, reference=True, tflite=shape == x.shape, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalization(check: Check, axis: int) -> None:
    """With an unknown sequence, all three outputs; in TFLite with a known one."""
    shape = (6,) if axis == -1 else (5, 6)
    weights, x = {"s": _random(*shape, seed=1), "b": _random(*shape, seed=2)}, _random(2, 5, 6)
    check(_model("LayerNormalization", (None, None, 6), weights, 3, axis=axis), {"x": x}, rtol=1e-4, atol=1e-5)
    fixed = _model("LayerNormalization", x.shape, weights, axis=axis)
    check(fixed, {"x": x}, tflite=True, rtol=1e-4, atol=1e-5)


def test_layer_normalization_in_half_precision(check: Check) -> None:
    """Float16 in, float16 out; mean and deviation in float32."""
    weights, x = {"s": _random(64, seed=1, dtype=np.float16)}, _random(2, 64, dtype=np.float16) + np.float16(8)
    check(_model("LayerNormalization", (None, 64), weights, 3, dtype=np.float16), {"x": x}, rtol=5e-3, atol=5e-3)


def test_rms_normalization(check: Check) -> None:
    """With an unknown sequence, and in TFLite."""
    weights, x = {"s": _random(6, seed=1)}, _random(2, 5, 6)
    for shape in ((None, None, 6), x.shape):
        model = _model("RMSNormalization", shape, weights, opset=23)
        check(model, {"x": x}, reference=True, tflite=shape == x.shape, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("opset", [7, 13])
def test_lrn(check: Check, size: int, opset: int) -> None:
    """With unknown height and width, and in TFLite."""
    x = _random(2, 7, 4, 5) * 3
    for shape in ((None, 7, None, None), x.shape):
        model = _model("LRN", shape, opset=opset, size=size, alpha=0.3, beta=0.6, bias=1.5)
        check(model, {"x": x}, tflite=shape == x.shape, rtol=1e-4, atol=1e-5)


def test_lrn_of_an_even_size() -> None:
    """ONNX Runtime has none: by the formula, whose window reaches one channel further up than down."""
    from pipeline.onnx_to_tf.convert import to_module

    x = _random(2, 7, 3) * 3
    squares = np.stack([np.square(x[:, max(0, c - 1) : c + 3]).sum(1) for c in range(7)], axis=1)
    given = to_module(_model("LRN", x.shape, size=4, alpha=0.3, beta=0.6, bias=1.5)).serve(x)["y0"]
    np.testing.assert_allclose(given, x / (1.5 + 0.3 / 4 * squares) ** 0.6, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 1])
def test_lp_normalization(check: Check, p: int, axis: int) -> None:
    """Zeros stay zeros."""
    x = _random(2, 3, 4)
    x[0] = 0
    check(_model("LpNormalization", x.shape, axis=axis, p=p), {"x": x}, tflite=True, rtol=1e-4)


@pytest.mark.parametrize("axes", [None, [1, 2]])
@pytest.mark.parametrize("opset", [9, 13])
def test_mean_variance_normalization(check: Check, axes: list[int] | None, opset: int) -> None:
    """By default over batch and space."""
    attributes: dict[str, Any] = {} if axes is None else {"axes": axes}
    model = _model("MeanVarianceNormalization", (None, 3, None, None), opset=opset, **attributes)
    check(model, {"x": _random(2, 3, 4, 5)}, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3])
def test_softmax(check: Check, op_type: str, opset: int, axis: int | None) -> None:
    """Over one axis, before opset 13 over all from one on; with unknown axes, and in TFLite."""
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    x = _random(2, 3, 4, 5) * 4
    check(_model(op_type, (None, None, None, None), opset=opset, **attributes), {"x": x}, {"x": x[:1, :, 1:]})
    check(_model(op_type, x.shape, opset=opset, **attributes), {"x": x}, tflite=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_softmax_of_other_types(check: Check, dtype: Any) -> None:
    """The type stays."""
    model = _model("Softmax", (None, 9), opset=13, dtype=dtype)
    check(model, {"x": _random(3, 9, dtype=dtype)}, reference=True, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, -1, 2])
@pytest.mark.parametrize("op_type", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"])
def test_losses(check: Check, op_type: str, reduction: str, is_weighted: bool, ignored: int | None) -> None:
    """With unknown batch and space; some of the classes are ignored, such as one that is none."""
    attributes: dict[str, Any] = {"reduction": reduction} | ({} if ignored is None else {"ignore_index": ignored})
    inputs = ["x", "t", "w"] if is_weighted else ["x", "t"]
    graph = helper.make_graph(
        [helper.make_node(op_type, inputs, ["y"], **attributes)],
        "g",
        [
            helper.make_tensor_value_info("x", 1, [None, 5, None, None]),
            helper.make_tensor_value_info("t", 7, [None, None, None]),
        ],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(np.abs(_random(5, seed=3)), "w")] if is_weighted else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    classes = np.random.default_rng(1).integers(0, 5, (2, 3, 4))
    if ignored is not None:
        classes[0, 0] = ignored
    check(model, {"x": _random(2, 5, 3, 4), "t": classes}, rtol=1e-4)


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout_when_a_model_serves(check: Check, opset: int) -> None:
    """The identity."""
    check(_model("Dropout", (None, 4), opset=opset), {"x": _random(3, 4)}, tflite=True)


def test_dropout_in_training() -> None:
    """About the wanted part is dropped, another each time, the mask tells which, and the rest is scaled."""
    from pipeline.onnx_to_tf.convert import to_module

    text = """<ir_version: 8, opset_import: ["": 13]>
    g (float[N, 50] x, float ratio, bool training) => (float[a, b] y, bool[c, d] mask) {
        y, mask = Dropout<seed = 7>(x, ratio, training)
    }"""
    module = to_module(onnx.parser.parse_model(text))
    x = np.abs(_random(100, 50)) + np.float32(1)
    first, second = (module.serve(x, np.float32(0.25), np.array(True)) for _ in range(2))
    mask = first["mask"].numpy()
    assert 0.7 < mask.mean() < 0.8
    np.testing.assert_allclose(first["y"], np.where(mask, x / 0.75, 0), rtol=1e-5)
    assert (mask != second["mask"].numpy()).any()
    off = module.serve(x, np.float32(0.25), np.array(False))
    np.testing.assert_array_equal(off["y"], x)
    assert off["mask"].numpy().all()


@pytest.mark.parametrize("is_test", [0, 1])
def test_dropout_by_attribute(is_test: int) -> None:
    """Opset 6 drops unless it is told that this is a test."""
    from pipeline.onnx_to_tf.convert import to_module

    x = np.ones((50, 40), np.float32)
    y = to_module(_model("Dropout", (50, 40), opset=6, is_test=is_test)).serve(x)["y0"].numpy()
    assert set(np.unique(y)) == ({1.0} if is_test else {0.0, 2.0})
