"""GridSample, AffineGrid, RoiAlign and MaxRoiPool: what ONNX's own tests leave out, held against ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligns", [0, 1])
def test_grids_of_images(check: Check, mode: str, padding: str, aligns: int) -> None:
    rng = np.random.default_rng(3)
    check(
        f"""<ir_version: 8, opset_import: ["": 16]>
        g (float[n, 3, h, w] x, float[n, a, b, 2] grid) => (float[n, 3, a, b] y) {{
            y = GridSample<mode = "{mode}", padding_mode = "{padding}", align_corners = {aligns}>(x, grid)
        }}""",
        {
            "x": rng.normal(size=(2, 3, 5, 6)).astype(np.float32),
            "grid": rng.uniform(-1.7, 1.7, size=(2, 4, 7, 2)).astype(np.float32),
        },
        tflite=True,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grids_of_volumes(check: Check, mode: str, padding: str) -> None:
    rng = np.random.default_rng(3)
    check(
        f"""<ir_version: 9, opset_import: ["": 20]>
        g (float[1, 2, 3, 4, 5] x, float[1, 2, 3, 4, 3] grid) => (float[1, 2, 2, 3, 4] y) {{
            y = GridSample<mode = "{mode}", padding_mode = "{padding}">(x, grid)
        }}""",
        {
            "x": rng.normal(size=(1, 2, 3, 4, 5)).astype(np.float32),
            "grid": rng.uniform(-1.4, 1.4, size=(1, 2, 3, 4, 3)).astype(np.float32),
        },
        tflite=True,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("aligns", [0, 1])
def test_affine_grid_of_a_known_size(check: Check, aligns: int) -> None:
    check(
        f"""<ir_version: 9, opset_import: ["": 20]>
        g (float[n, 2, 3] theta) => (float[n, 4, 5, 2] y) <int64[4] size = {{2, 3, 4, 5}}> {{
            y = AffineGrid<align_corners = {aligns}>(theta, size)
        }}""",
        {"theta": np.random.default_rng(3).normal(size=(2, 2, 3)).astype(np.float32)},
        tflite=True,
    )


@pytest.mark.parametrize("opset", [10, 16])
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_roi_align(check: Check, opset: int, mode: str, ratio: int) -> None:
    rng = np.random.default_rng(3)
    corner = rng.uniform(-6, 30, size=(6, 2))
    rois = np.concatenate([corner, corner + rng.uniform(0, 24, size=(6, 2))], 1).astype(np.float32)
    check(
        f"""<ir_version: 8, opset_import: ["": {opset}]>
        g (float[n, 3, h, w] x, float[r, 4] rois, int64[r] which) => (float[r, 3, 3, 4] y) {{
            y = RoiAlign<mode = "{mode}", output_height = 3, output_width = 4, sampling_ratio = {ratio},
                spatial_scale = 0.5>(x, rois, which)
        }}""",
        {"x": rng.normal(size=(2, 3, 16, 14)).astype(np.float32), "rois": rois, "which": np.array([0, 1, 1, 0, 0, 1])},
        tflite=True,
        rtol=1e-4,
        atol=1e-4,
    )


def test_max_roi_pool(check: Check) -> None:
    rng = np.random.default_rng(3)
    rois = np.array([[0, 0, 0, 7, 7], [1, 3, 2, 12, 20], [0, 10, 10, 11, 10], [1, 20, 3, 40, 50]], np.float32)
    check(
        """<ir_version: 8, opset_import: ["": 8]> g (float[2, 3, 12, 11] x, float[r, 5] rois) => (float[r, 3, 2, 3] y) {
            y = MaxRoiPool<pooled_shape = [2, 3], spatial_scale = 0.5>(x, rois)
        }""",
        {"x": rng.normal(size=(2, 3, 12, 11)).astype(np.float32), "rois": rois},
        tflite=True,
    )
