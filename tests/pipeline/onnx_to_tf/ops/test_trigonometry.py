"""Circular and hyperbolic functions at the ends of their range, with axes that are not known, and in TFLite."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

INF = np.inf
# Asinh and Acosh end at 2e38: of 3e38 the kernel of TFLite (2.21) itself gives an infinite logarithm.
POINTS = {
    "Sin": [-3, -1e-4, 0, 2],
    "Cos": [-3, -1e-4, 0, 2],
    "Tan": [-1.5, -1e-4, 0, 1.2],
    "Asin": [-1, -0.5, -1e-4, 0, 0.999, 1, 2],
    "Acos": [-1, -0.5, 0, 0.999, 1, 2],
    "Atan": [-INF, -1e6, -1e-4, 0, 1, INF],
    "Sinh": [-89, -10, -0.4, -1e-4, 0, 1e-6, 0.6, 10, 88.9],
    "Cosh": [-89, -10, -1e-4, 0, 0.6, 10, 88.9],
    "Tanh": [-20, -1e-4, 0, 0.5, INF],
    "Asinh": [-INF, -1e30, -3, -1e-4, 0, 1e-6, 0.2, 0.5, 1e12, 2e38, INF],
    "Acosh": [1, 1.00001, 1.5, 3, 1e5, 1e12, 2e38, INF, 0.5],
    "Atanh": [-1, -0.9, -1e-4, 0, 1e-6, 0.2, 0.5, 1],
}


@pytest.mark.parametrize("op", POINTS)
def test_points(check, op):
    model = f"""<ir_version: 8, opset_import: ["": 17]> graph (float[N] x) => (float[N] y) {{ y = {op}(x) }}"""
    # No absolute tolerance: a small number has to keep its digits.
    check(model, {"x": np.array(POINTS[op], np.float32)}, rtol=4e-6, atol=0, tflite=True)
