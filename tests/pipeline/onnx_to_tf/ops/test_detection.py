"""NonMaxSuppression as detectors use it, held against ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, Any]]


def _inputs(images: int, classes: int, boxes: int) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    corner = rng.uniform(0, 80, size=(images, boxes, 2))
    return {
        "boxes": np.concatenate([corner, corner + rng.uniform(2, 40, size=corner.shape)], 2).astype(np.float32),
        "scores": rng.uniform(size=(images, classes, boxes)).astype(np.float32),
    }


@pytest.mark.parametrize("center", [0, 1])
@pytest.mark.parametrize(("images", "classes"), [(1, 1), (1, 20), (2, 2)])
def test_known_limits(check: Check, images: int, classes: int, center: int) -> None:
    check(
        f"""<ir_version: 8, opset_import: ["": 11]>
        g (float[{images}, 60, 4] boxes, float[{images}, {classes}, 60] scores) => (int64[m, 3] y)
        <int64[1] most = {{5}}, float[1] iou = {{0.4}}, float[1] least = {{0.3}}> {{
            y = NonMaxSuppression<center_point_box = {center}>(boxes, scores, most, iou, least)
        }}""",
        _inputs(images, classes, 60),
        tflite=True,
    )


def test_all_boxes_of_dynamic_axes(check: Check) -> None:
    """PyTorch's exporter states the greatest int64 for no limit."""
    check(
        f"""<ir_version: 8, opset_import: ["": 11]>
        g (float[n, b, 4] boxes, float[n, c, b] scores) => (int64[m, 3] y)
        <int64[1] most = {{{2**63 - 1}}}, float[1] iou = {{0.5}}> {{
            y = NonMaxSuppression(boxes, scores, most, iou)
        }}""",
        _inputs(1, 1, 50),
        _inputs(3, 7, 40),
    )


def _limits(most: int, iou: float, least: float) -> dict[str, Any]:
    return {"most": np.array([most]), "iou": np.array([iou], np.float32), "least": np.array([least], np.float32)}


def test_limits_when_it_runs(check: Check) -> None:
    check(
        """<ir_version: 8, opset_import: ["": 11]>
        g (float[1, 30, 4] boxes, float[1, 6, 30] scores, int64[1] most, float[1] iou, float[1] least)
        => (int64[m, 3] y) {
            y = NonMaxSuppression(boxes, scores, most, iou, least)
        }""",
        _inputs(1, 6, 30) | _limits(4, 0.3, 0.2),
        _inputs(1, 6, 30) | _limits(0, 0.3, 0.2),
        _inputs(1, 6, 30) | _limits(9, 0.3, 2.0),
        tflite=True,
    )


def test_no_limit_selects_nothing(check: Check) -> None:
    check(
        """<ir_version: 8, opset_import: ["": 11]>
        g (float[1, 30, 4] boxes, float[1, 6, 30] scores) => (int64[m, 3] y) {
            y = NonMaxSuppression(boxes, scores)
        }""",
        _inputs(1, 6, 30),
    )
