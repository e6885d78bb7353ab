"""DFT, STFT, windows and MelWeightMatrix: what ONNX's own tests leave out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, Any]]


def _x(*shape: int, dtype: Any = np.float32) -> dict[str, Any]:
    return {"x": np.random.default_rng(2).normal(size=shape).astype(dtype)}


@pytest.mark.parametrize("components", [1, 2])
@pytest.mark.parametrize(("inverse", "onesided"), [(0, 0), (1, 0), (0, 1)])
@pytest.mark.parametrize("length", ["", ", length"])
def test_dft_of_known_length(check: Check, components: int, inverse: int, onesided: int, length: str) -> None:
    if onesided and components == 2:
        pytest.skip("ONNX allows it for real signals alone")
    check(
        f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[n, 12, 5, {components}] x) => (float[n, a, b, 2] y) <int64 length = {{9}}> {{
            y = DFT<axis = 1, inverse = {inverse}, onesided = {onesided}>(x{length})
        }}""",
        _x(2, 12, 5, components),
        reference=True,
        tflite=True,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("length", [6, 20])
def test_dft_of_dynamic_axes(check: Check, length: int) -> None:
    check(
        """<ir_version: 9, opset_import: ["": 20]>
        g (float[n, h, w, 1] x, int64 length, int64 axis) => (float[a, b, c, 2] y) {
            y = DFT(x, length, axis)
        }""",
        _x(2, 12, 5, 1) | {"length": np.array(length), "axis": np.array(-3)},
        _x(3, 7, 8, 1) | {"length": np.array(length), "axis": np.array(2)},
        reference=True,
        rtol=1e-4,
        atol=1e-4,
    )


def test_long_dft(check: Check) -> None:
    check(
        """<ir_version: 9, opset_import: ["": 20]> g (double[2, 5000, 2] x) => (double[2, 5000, 2] y) { y = DFT(x) }""",
        _x(2, 5000, 2, dtype=np.float64),
        reference=True,
    )


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("window", [False, True])
def test_stft_of_known_frames(check: Check, onesided: int, window: bool) -> None:
    values = ", ".join(str(v) for v in np.hanning(16).astype(np.float32))
    check(
        f"""<ir_version: 8, opset_import: ["": 17]> g (float[n, l, 1] x) => (float[n, f, b, 2] y)
        <int64 step = {{6}}, int64 length = {{16}}, float[16] window = {{{values}}}> {{
            y = STFT<onesided = {onesided}>(x, step, {"window" if window else ""}, length)
        }}""",
        _x(2, 100, 1),
        _x(1, 77, 1),
        tflite=True,
        rtol=1e-4,
        atol=1e-4,
    )


def test_stft_of_complex_signals(check: Check) -> None:
    check(
        """<ir_version: 8, opset_import: ["": 17]> g (float[1, 64, 2] x) => (float[1, f, b, 2] y)
        <int64 step = {8}, int64 length = {16}> { y = STFT<onesided = 0>(x, step, , length) }""",
        _x(1, 64, 2),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("op_type", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows_of_known_size(check: Check, op_type: str, periodic: int) -> None:
    check(
        f"""<ir_version: 8, opset_import: ["": 17]> g (double[m] x) => (double[m] y) <int64 size = {{11}}> {{
            w = {op_type}<periodic = {periodic}, output_datatype = 11>(size)
            y = Add(x, w)
        }}""",
        {"x": np.zeros(11)},
        reference=True,
        atol=1e-7,
    )


def test_mel_weight_matrix_of_known_sizes(check: Check) -> None:
    check(
        """<ir_version: 8, opset_import: ["": 17]> g (float[f, 129] x) => (float[f, 40] y)
        <int64 bins = {40}, int64 length = {256}, int64 rate = {16000}, float low = {20.0}, float high = {7600.0}> {
            m = MelWeightMatrix(bins, length, rate, low, high)
            y = MatMul(x, m)
        }""",
        {"x": np.eye(129, dtype=np.float32)},
        tflite=True,
    )
