"""Resize and Upsample: what ONNX's own tests leave out, held against ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, Any]]


def _model(
    opset: int,
    shape: list[int | str],
    *,
    sizes: list[int] | None = None,
    scales: list[float] | None = None,
    roi: list[float] | None = None,
    op_type: str = "Resize",
    dtype: int = TensorProto.FLOAT,
    **attributes: Any,
) -> onnx.ModelProto:
    initializers = []
    inputs = ["x"]
    if op_type == "Resize" and opset >= 11:
        inputs.append("roi" if roi else "")
        if roi:
            initializers.append(numpy_helper.from_array(np.array(roi, np.float32), "roi"))
    if scales and "scales" not in attributes and not (op_type == "Upsample" and opset < 9):
        initializers.append(numpy_helper.from_array(np.array(scales, np.float32), "scales"))
        inputs.append("scales")
    elif scales:
        attributes["scales"] = [float(scale) for scale in scales]
    if sizes:
        initializers.append(numpy_helper.from_array(np.array(sizes, np.int64), "sizes"))
        inputs += ["", "sizes"]
    node = helper.make_node(op_type, inputs, ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, [None] * len(shape))],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _x(*shape: int, dtype: Any = np.float32) -> dict[str, Any]:
    values = np.random.default_rng(7).normal(size=shape) * 50
    return {"x": values.clip(0).astype(dtype) if np.dtype(dtype).kind == "u" else values.astype(dtype)}


@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("size", [(13, 6), (4, 17), (10, 14)])
def test_images_by_sizes(check: Check, mode: str, coordinates: str, size: tuple[int, int]) -> None:
    model = _model(
        13, [2, 3, 5, 7], sizes=[2, 3, *size], mode=mode, coordinate_transformation_mode=coordinates,
        nearest_mode="round_prefer_ceil" if coordinates == "align_corners" else "floor",
    )  # fmt: skip
    check(model, _x(2, 3, 5, 7), tflite=True, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric"])
def test_whole_factors_with_dynamic_axes(check: Check, nearest: str, coordinates: str) -> None:
    model = _model(
        13, ["n", 3, "h", "w"], scales=[1, 1, 2, 2], mode="nearest", coordinate_transformation_mode=coordinates,
        nearest_mode=nearest,
    )  # fmt: skip
    check(model, _x(2, 3, 5, 7), _x(1, 3, 4, 4), tflite=True)


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("scale", [0.6, 1.7])
def test_fractional_scales_with_dynamic_axes(check: Check, mode: str, scale: float) -> None:
    model = _model(13, ["n", 3, "h", "w"], scales=[1, 1, scale, scale], mode=mode)
    check(model, _x(2, 3, 5, 7), _x(1, 3, 9, 6), tflite=True, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("excludes", [0, 1])
def test_antialias(check: Check, mode: str, excludes: int) -> None:
    model = _model(18, [1, 2, 11, 9], sizes=[4, 5], axes=[2, 3], mode=mode, antialias=1, exclude_outside=excludes)
    check(model, _x(1, 2, 11, 9), tflite=True, rtol=1e-3, atol=1e-3)


def test_antialias_with_dynamic_axes(check: Check) -> None:
    model = _model(18, ["n", 2, "h", "w"], sizes=[4, 5], axes=[2, 3], mode="linear", antialias=1)
    check(model, _x(1, 2, 11, 9), _x(3, 2, 6, 10), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 6), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_other_ranks(check: Check, shape: tuple[int, ...], mode: str) -> None:
    model = _model(13, list(shape), scales=[1, 1, *[2.0] * (len(shape) - 2)], mode=mode)
    check(model, _x(*shape), tflite=True, rtol=1e-4, atol=1e-4)


def test_images_with_channels_last(check: Check) -> None:
    model = _model(13, ["n", 5, 7, 3], sizes=[2, 10, 14, 3], mode="nearest", nearest_mode="floor",
                   coordinate_transformation_mode="asymmetric")  # fmt: skip
    check(model, _x(2, 5, 7, 3), tflite=True)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_crop(check: Check, mode: str) -> None:
    model = _model(
        13, [1, 1, 6, 6], sizes=[1, 1, 4, 5], roi=[0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2], mode=mode,
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.5,
    )  # fmt: skip
    check(model, _x(1, 1, 6, 6), tflite=True, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_aspect_ratio_with_dynamic_axes(check: Check, policy: str) -> None:
    model = _model(18, ["n", 1, "h", "w"], sizes=[7, 8], axes=[2, 3], mode="linear", keep_aspect_ratio_policy=policy)
    check(model, _x(1, 1, 4, 6), _x(2, 1, 5, 3), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("op_type", "opset", "scales"),
    [("Upsample", 7, [1, 1, 2, 3]), ("Upsample", 9, [1, 1, 2, 3]), ("Resize", 10, [1, 1, 2, 3]),
     ("Resize", 10, [1, 1, 0.6, 0.6]), ("Upsample", 9, [1, 1, 1.5, 1.3])],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_old_opsets(check: Check, op_type: str, opset: int, scales: list[float], mode: str) -> None:
    check(_model(opset, [1, 2, 5, 7], scales=scales, op_type=op_type, mode=mode), _x(1, 2, 5, 7), tflite=True,
          rtol=1e-4, atol=1e-4)  # fmt: skip


def test_bytes_are_cut_off(check: Check) -> None:
    model = _model(13, [1, 1, 5, 7], sizes=[1, 1, 9, 12], mode="linear", dtype=TensorProto.UINT8)
    check(model, _x(1, 1, 5, 7, dtype=np.uint8), atol=1)


def test_sizes_from_the_shape_of_another_input(check: Check) -> None:
    """As PyTorch exports a feature pyramid: the batch is dynamic, and the sizes are known when the model runs."""
    check(
        """<ir_version: 8, opset_import: ["": 13]>
        g (float[n, 4, h, w] x, float[n, 4, H, W] z) => (float[a, b, c, d] y)
        <int64[1] zero = {0}, int64[1] two = {2}, int64[1] four = {4}> {
            own = Shape(x)
            other = Shape(z)
            first = Slice(own, zero, two)
            last = Slice(other, two, four)
            sizes = Concat<axis = 0>(first, last)
            y = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">
                (x, , , sizes)
        }""",
        {"x": _x(2, 4, 3, 5)["x"], "z": _x(2, 4, 6, 11)["x"]},
        tflite=True,
    )
