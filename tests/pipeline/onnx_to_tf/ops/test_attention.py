"""Attention and RotaryEmbedding: what ONNX's own tests leave out, held against ONNX Runtime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

Check = Callable[..., dict[str, Any]]

_HEADER = '<ir_version: 10, opset_import: ["": 23]>'


def _qkv(*shapes: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in zip("qkv", shapes, strict=True)}


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("softcap", [0.0, 1.5])
def test_flat_inputs_with_shared_heads_and_dynamic_axes(check: Check, causal: int, softcap: float) -> None:
    check(
        f"""{_HEADER} g (float[n, s, 24] q, float[n, t, 8] k, float[n, t, 12] v) => (float[n, s, 36] y) {{
            y = Attention<q_num_heads = 6, kv_num_heads = 2, is_causal = {causal}, softcap = {softcap}>(q, k, v)
        }}""",
        _qkv((2, 5, 24), (2, 5, 8), (2, 5, 12)),
        _qkv((1, 3, 24), (1, 3, 8), (1, 3, 12)),
        tflite=True,
        atol=1e-5,
    )


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_cache_mask_and_stages(check: Check, kv_heads: int, mode: int) -> None:
    rng = np.random.default_rng(4)
    past = rng.normal(size=(2, kv_heads, 3, 8)).astype(np.float32)
    check(
        f"""{_HEADER}
        g (float[2, 4, 5, 8] q, float[2, {kv_heads}, 5, 8] k, float[2, {kv_heads}, 5, 8] v, float[5, 8] mask,
           float[2, {kv_heads}, 3, 8] past) => (float[a, b, c, d] y, float[e, f, g, h] pk, float[i, j, k, l] pv,
           float[m, n, o, p] stage) {{
            y, pk, pv, stage = Attention<qk_matmul_output_mode = {mode}, softcap = 2.0>(q, k, v, mask, past, past)
        }}""",
        _qkv((2, 4, 5, 8), (2, kv_heads, 5, 8), (2, kv_heads, 5, 8))
        | {"mask": rng.normal(size=(5, 8)).astype(np.float32), "past": past},
        tflite=True,
        atol=1e-5,
    )


def test_a_query_that_sees_nothing(check: Check) -> None:
    mask = np.array([[True, False, True], [False, False, False]])
    check(
        f"""{_HEADER} g (float[1, 2, 2, 4] q, float[1, 2, 3, 4] k, float[1, 2, 3, 4] v, bool[2, 3] mask)
        => (float[1, 2, 2, 4] y) {{ y = Attention(q, k, v, mask) }}""",
        _qkv((1, 2, 2, 4), (1, 2, 3, 4), (1, 2, 3, 4)) | {"mask": mask},
        tflite=True,
    )
    check(
        f"""{_HEADER} g (float[1, 2, 2, 4] q, float[1, 2, 3, 4] k, float[1, 2, 3, 4] v, float[2, 3] mask)
        => (float[1, 2, 2, 4] y) {{ y = Attention(q, k, v, mask) }}""",
        _qkv((1, 2, 2, 4), (1, 2, 3, 4), (1, 2, 3, 4)) | {"mask": np.where(mask, 0, -np.inf).astype(np.float32)},
        tflite=True,
    )


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_positions_with_dynamic_axes(check: Check, interleaved: int) -> None:
    rng = np.random.default_rng(4)
    angles = rng.uniform(size=(20, 4)).astype(np.float32)
    check(
        f"""{_HEADER} g (float[n, 3, s, 8] x, float[20, 4] c, float[20, 4] d, int64[n, s] ids) => (float[n, 3, s, 8] y)
        {{ y = RotaryEmbedding<interleaved = {interleaved}>(x, c, d, ids) }}""",
        {
            "x": rng.normal(size=(2, 3, 5, 8)).astype(np.float32),
            "c": np.cos(angles),
            "d": np.sin(angles),
            "ids": rng.integers(0, 20, size=(2, 5)),
        },
        tflite=True,
    )
