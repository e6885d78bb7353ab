"""Operators of ONNX Runtime's own domain, against ONNX Runtime."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
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
    inputs: Sequence[tuple[str, Array | None]],
    outputs: Sequence[str] = ("y",),
    dtype: int = TensorProto.FLOAT,
    *,
    domain: str = "com.microsoft",
    version: int = 17,
    is_dynamic: bool = False,
    dtypes: Mapping[str, int] | None = None,
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model of one node; an input whose name begins with a capital is an initializer, None is left out."""
    node = helper.make_node(
        op_type, [name if array is not None else "" for name, array in inputs], outputs, domain=domain, **attributes
    )
    given = {name: array for name, array in inputs if array is not None and not name[0].isupper()}
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
        [helper.make_tensor_value_info(name, (dtypes or {}).get(name, dtype), None) for name in outputs if name],
        [numpy_helper.from_array(array, name) for name, array in inputs if array is not None and name[0].isupper()],
    )
    imports = [helper.make_opsetid("", version), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9), given


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes"),
    [
        ("Gelu", [("x", floats(3, 5))], {}),
        ("FastGelu", [("x", floats(2, 3, 5)), ("B", floats(5))], {}),
        ("BiasGelu", [("x", floats(2, 3, 5)), ("B", floats(5))], {}),
        ("QuickGelu", [("x", floats(3, 5))], {"alpha": 1.3}),
        ("FusedMatMul", [("a", floats(2, 5, 3)), ("b", floats(2, 4, 5))], {"transA": 1, "transB": 1, "alpha": 0.5}),
        ("FusedMatMul", [("a", floats(3, 2, 4, 5)), ("b", floats(2, 4, 5, 6))], {"transBatchA": 1}),
        (
            "FusedMatMul",
            [("a", floats(3, 2, 4, 5)), ("b", floats(6, 2, 4, 5))],
            {"transBatchA": 1, "transBatchB": 1, "transB": 1},
        ),
        ("TransposeMatMul", [("a", floats(5, 3)), ("b", floats(5, 4))], {"transA": 1}),
        *(
            ("FusedGemm", [("a", floats(3, 5)), ("W", floats(4, 5)), ("C", floats(4))], attributes)
            for attributes in (
                {"transB": 1, "activation": "Relu", "alpha": 0.5, "beta": 2.0},
                {"transB": 1, "activation": "LeakyRelu", "activation_alpha": 0.3},
                {"transB": 1, "activation": "Tanh"},
                {"transB": 1, "activation": "Sigmoid"},
                {"transB": 1, "activation": "HardSigmoid", "activation_alpha": 0.1, "activation_beta": 0.6},
                {"transB": 1, "activation": "Elu", "activation_alpha": 0.7},
                {"transB": 1, "activation": "Softplus"},
                {"transB": 1, "activation": "ThresholdedRelu", "activation_alpha": 0.7},
            )
        ),
        ("Inverse", [("x", floats(2, 4, 4))], {}),
        ("Trilu", [("x", floats(2, 4, 5)), ("k", np.array(1, np.int64))], {"upper": 0}),
        ("Trilu", [("x", floats(4, 5)), ("K", np.array(-1, np.int64))], {}),
        ("ExpandDims", [("x", floats(4, 5)), ("A", np.array(1, np.int32))], {}),
        ("CDist", [("a", floats(4, 5)), ("b", floats(3, 5))], {"metric": "euclidean"}),
        ("Pad", [("x", floats(4, 5)), ("p", np.array([1, 0, 2, 3], np.int64)), ("v", floats(1))], {}),
        ("Pad", [("x", floats(4, 5)), ("P", np.array([1, 0, 2, 3], np.int64))], {"mode": "edge"}),
        ("Pad", [("x", floats(4, 5)), ("P", np.array([1, 0, 2, 3], np.int64))], {"mode": "reflect"}),
        ("Range", [("s", f32(1)), ("l", f32(4)), ("d", f32(0.5))], {}),
    ],
)
def test_float_operators(check: Check, op_type: str, inputs: Any, attributes: dict[str, Any], is_dynamic: bool) -> None:
    check(*model(op_type, inputs, is_dynamic=is_dynamic, **attributes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize(
    ("op_type", "inputs", "outputs", "attributes"),
    [
        (
            "LayerNormalization",
            [("x", floats(2, 3, 4)), ("S", floats(3, 4)), ("B", floats(3, 4))],
            ["y", "m", "i"],
            {"axis": 1},
        ),
        ("SimplifiedLayerNormalization", [("x", floats(2, 3, 4)), ("S", floats(4))], ["y"], {"epsilon": 1e-3}),
    ],
)
def test_normalization_before_opset_17(
    check: Check, op_type: str, inputs: Any, outputs: list[str], attributes: dict[str, Any], is_dynamic: bool
) -> None:
    """ONNX Runtime puts these in ONNX's own domain, where ONNX has none of the name at this opset."""
    check(*model(op_type, inputs, outputs, domain="", version=12, is_dynamic=is_dynamic, **attributes))


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize(
    ("op_type", "inputs", "outputs"),
    [
        (
            "SkipLayerNormalization",
            [("x", floats(2, 3, 4)), ("s", floats(2, 3, 4)), ("G", floats(4)), ("E", floats(4)), ("B", floats(4))],
            ["y", "", "", "sum"],
        ),
        ("SkipLayerNormalization", [("x", floats(2, 3, 4)), ("s", floats(3, 4)), ("G", floats(4))], ["y"]),
        (
            "SkipSimplifiedLayerNormalization",
            [("x", floats(2, 3, 4)), ("s", floats(2, 3, 4)), ("G", floats(4)), ("B", floats(4))],
            ["y", "", "", "sum"],
        ),
    ],
)
def test_skip(check: Check, op_type: str, inputs: Any, outputs: list[str], is_dynamic: bool) -> None:
    check(*model(op_type, inputs, outputs, is_dynamic=is_dynamic), tflite=not is_dynamic)


@pytest.mark.parametrize("has_positions", [False, True])
def test_embedding(check: Check, has_positions: bool) -> None:
    ids = _random.integers(0, 10, (2, 5)).astype(np.int32)
    inputs = [
        ("ids", ids),
        ("segments", ids % 2),
        ("W", floats(10, 4)),
        ("P", floats(8, 4)),
        ("S", floats(2, 4)),
        ("G", floats(4)),
        ("E", floats(4)),
        ("mask", np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)),
        ("positions", ids % 7 if has_positions else None),
    ]
    check(
        *model(
            "EmbedLayerNormalization",
            inputs,
            ["y", "count", "sum"],
            dtypes={"count": TensorProto.INT32},
            is_dynamic=True,
        )
    )


MASKS = {
    "none": None,
    "keys": np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.int32),
    "rows": _random.integers(0, 2, (2, 4, 4)).astype(np.int32),
    "ends": np.array([3, 4], np.int32),
    "ends and starts": np.array([4, 3, 1, 0], np.int32),
}


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("unidirectional", [0, 1])
@pytest.mark.parametrize("mask", MASKS)
def test_attention(check: Check, mask: str, unidirectional: int, is_dynamic: bool) -> None:
    inputs = [("x", floats(2, 4, 6)), ("W", floats(6, 24)), ("B", floats(24)), ("mask", MASKS[mask])]
    check(
        *model("Attention", inputs, num_heads=2, unidirectional=unidirectional, is_dynamic=is_dynamic),
        rtol=1e-4,
        atol=1e-5,
        tflite=not is_dynamic,
    )


def test_attention_with_past(check: Check) -> None:
    inputs = [
        ("x", floats(2, 4, 6)),
        ("W", floats(6, 24)),
        ("B", floats(24)),
        ("mask", np.array([[1, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]], np.int32)),
        ("past", floats(2, 2, 2, 3, 4)),
    ]
    check(
        *model("Attention", inputs, ["y", "present"], num_heads=2, unidirectional=1, is_dynamic=True, scale=0.3),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("form", ["self", "cross", "cross_heads", "past", "padding", "ends"])
def test_multi_head_attention(check: Check, form: str, is_dynamic: bool) -> None:
    key = floats(2, 5, 8) if form.startswith("cross") else floats(2, 4, 8)
    value = floats(2, key.shape[1], 8)
    if form == "cross_heads":
        key, value = (x.reshape(2, 5, 2, 4).transpose(0, 2, 1, 3).copy() for x in (key, value))
    mask = {"padding": np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.int32), "ends": np.array([3, 4], np.int32)}.get(form)
    past = form == "past"
    inputs = [
        ("q", floats(2, 4, 8)),
        ("key", key),
        ("value", value),
        ("B", None if form == "cross_heads" else floats(24)),
        ("mask", mask),
        ("bias", floats(1, 1, 4, 7 if past else key.shape[-2])),
        ("past_key", floats(2, 2, 3, 4) if past else None),
        ("past_value", floats(2, 2, 3, 4) if past else None),
    ]
    outputs = ["y", "present_key", "present_value"] if past else ["y"]
    proto, given = model(
        "MultiHeadAttention",
        inputs,
        outputs,
        num_heads=2,
        unidirectional=int(form == "self"),
        is_dynamic=is_dynamic,
    )
    for value in proto.graph.input[:3]:
        value.type.tensor_type.shape.dim[-1].dim_value = given[value.name].shape[-1]
    check(proto, given, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "step", "extra"),
    [
        ({}, "prompt", ()),
        ({"local_window_size": 2}, "prompt", ()),
        ({"softcap": 3.0, "rotary_interleaved": 1}, "prompt", ()),
        ({"smooth_softmax": 1}, "prompt", ()),
        ({}, "prompt", ("sink",)),
        ({}, "prompt", ("bias",)),
        ({}, "prompt", ("packed",)),
        ({}, "step", ()),
        ({"local_window_size": 2}, "step", ()),
        ({}, "step", ("ragged",)),
        ({"do_rotary": 0}, "step", ("ragged", "bias")),
        ({}, "chunk", ()),
    ],
)
def test_group_query_attention(check: Check, attributes: dict[str, Any], step: str, extra: tuple[str, ...]) -> None:
    batch, heads, shared, size = 2, 4, 2, 16
    past, tokens = {"prompt": (0, 5), "step": (6, 1), "chunk": (6, 3)}[step]
    if step == "chunk":
        batch = 1
    total = past + tokens
    last = np.full(batch, total - 1, np.int32)
    if "ragged" in extra:
        last = np.array([total - 1, total - 3], np.int32)
    q, k, v = (
        floats(batch, tokens, heads * size),
        floats(batch, tokens, shared * size),
        floats(batch, tokens, shared * size),
    )
    is_packed = "packed" in extra
    angle = _random.uniform(0, 6, (16, size // 2))
    inputs = [
        ("q", np.concatenate([q, k, v], -1) if is_packed else q),
        ("key", None if is_packed else k),
        ("value", None if is_packed else v),
        ("past_key", floats(batch, shared, past, size)),
        ("past_value", floats(batch, shared, past, size)),
        ("last", last),
        ("total", np.array(total, np.int32)),
        ("COS", np.cos(angle).astype(np.float32)),
        ("SIN", np.sin(angle).astype(np.float32)),
        ("positions", None),
        ("bias", floats(1, 1, tokens, total) if "bias" in extra else None),
        ("sink", floats(heads) if "sink" in extra else None),
        ("k_scale", None),
        ("v_scale", None),
    ]
    while inputs[-1][1] is None:
        inputs.pop()
    attributes = {"do_rotary": 1, **attributes}
    proto, given = model(
        "GroupQueryAttention",
        inputs,
        ["y", "present_key", "present_value"],
        is_dynamic=True,
        num_heads=heads,
        kv_num_heads=shared,
        **attributes,
    )
    for value in proto.graph.input:
        # The widths are known in real models.
        if value.name in ("q", "key", "value", "past_key", "past_value"):
            value.type.tensor_type.shape.dim[-1].dim_value = given[value.name].shape[-1]
    check(proto, given, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("form", ["flat", "heads", "partial", "offset"])
def test_rotary_embedding(check: Check, form: str, interleaved: int, is_dynamic: bool) -> None:
    x = floats(2, 3, 5, 8) if form == "heads" else floats(2, 5, 24)
    positions = np.array([2], np.int64) if form == "offset" else _random.integers(0, 9, (2, 5))
    width = 2 if form == "partial" else 4
    attributes: dict[str, Any] = {"num_heads": 3, "rotary_embedding_dim": 4} if form == "partial" else {}
    inputs = [("x", x), ("p", positions), ("C", floats(10, width)), ("S", floats(10, width))]
    proto, given = model("RotaryEmbedding", inputs, interleaved=interleaved, is_dynamic=is_dynamic, **attributes)
    proto.graph.input[0].type.tensor_type.shape.dim[-1].dim_value = x.shape[-1]
    check(proto, given)


U8, I8 = TensorProto.UINT8, TensorProto.INT8


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(
    ("op_type", "count", "attributes"),
    [
        ("QLinearAdd", 2, {}),
        ("QLinearMul", 2, {}),
        ("QLinearSigmoid", 1, {}),
        ("QLinearLeakyRelu", 1, {"alpha": 0.2}),
        ("QLinearGlobalAveragePool", 1, {}),
        ("QLinearGlobalAveragePool", 1, {"channels_last": 1}),
        ("QLinearSoftmax", 1, {"axis": 1, "opset": 13}),
    ],
)
@pytest.mark.parametrize("is_dynamic", [False, True])
def test_quantized_elementwise(
    check: Check, op_type: str, count: int, attributes: dict[str, Any], dtype: Any, is_dynamic: bool
) -> None:
    zero = np.array(3, dtype)
    inputs: list[tuple[str, Array | None]] = []
    for position in range(count):
        inputs += [(f"x{position}", codes(dtype, 2, 3, 4, 5)), (f"S{position}", f32(0.05)), (f"Z{position}", zero)]
    scale = {"QLinearMul": 0.2, "QLinearAdd": 0.09, "QLinearSoftmax": 1 / 256, "QLinearSigmoid": 1 / 200}.get(
        op_type, 0.04
    )
    inputs += [("Y_scale", f32(scale)), ("Y_zero", np.array(7, dtype))]
    proto, given = model(
        op_type, inputs, dtype=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), is_dynamic=is_dynamic, **attributes
    )
    # Softmax: the table of whole numbers that ONNX Runtime sums. LeakyRelu: TensorFlow Lite divides by a product.
    check(
        proto,
        given,
        rtol=0,
        atol=1 if op_type == "QLinearSoftmax" else 0,
        tflite=not is_dynamic and op_type != "QLinearLeakyRelu",
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_quantized_concat_and_where(check: Check, dtype: type) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    a, b = codes(dtype, 2, 3), codes(dtype, 2, 3)
    parameters = (
        [("A_scale", f32(0.05)), ("A_zero", np.array(3, dtype))],
        [("B_scale", f32(0.07)), ("B_zero", np.array(9, dtype))],
    )
    result = [("Y_scale", f32(0.06)), ("Y_zero", np.array(5, dtype))]
    concat = [*result, ("a", a), *parameters[0], ("b", b), *parameters[1]]
    check(*model("QLinearConcat", concat, dtype=kind, axis=1), rtol=0, atol=0)
    where = [
        ("c", _random.integers(0, 2, (2, 3)).astype(bool)),
        ("a", a),
        *parameters[0],
        ("b", b),
        *parameters[1],
        *result,
    ]
    check(*model("QLinearWhere", where, dtype=kind), rtol=0, atol=0)


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("weights", [np.uint8, np.int8])
def test_products(check: Check, weights: type, by_column: bool, is_dynamic: bool) -> None:
    columns = 6
    scale = np.abs(floats(columns)) / 50 + f32(0.001) if by_column else f32(0.02)
    zero = codes(weights, columns) if by_column else np.array(5, weights)
    w = codes(weights, 300, columns)
    bias = floats(columns)
    a = codes(np.uint8, 4, 300)
    tflite = not is_dynamic
    check(
        *model(
            "DynamicQuantizeMatMul",
            [("a", floats(4, 300)), ("W", w), ("S", scale), ("Z", zero), ("B", bias)],
            is_dynamic=is_dynamic,
        ),
        rtol=1e-5,
        atol=1e-4,
        tflite=tflite,
    )
    check(
        *model(
            "MatMulIntegerToFloat",
            [
                ("a", a),
                ("W", w),
                ("A_scale", f32(0.01)),
                ("S", scale),
                ("A_zero", np.array(120, np.uint8)),
                ("Z", zero),
                ("B", bias),
            ],
            is_dynamic=is_dynamic,
        ),
        rtol=1e-5,
        atol=1e-4,
        tflite=tflite,
    )
    common = [
        ("a", a),
        ("A_scale", f32(0.01)),
        ("A_zero", np.array(120, np.uint8)),
        ("W", w),
        ("S", scale),
        ("Z", zero),
    ]
    c = ("C", _random.integers(-9999, 9999, columns).astype(np.int32))
    check(*model("QGemm", [*common, c], is_dynamic=is_dynamic), rtol=1e-6, atol=1e-5, tflite=tflite)
    result = [("Y_scale", f32(0.5)), ("Y_zero", np.array(100, np.uint8))]
    check(*model("QGemm", [*common, c, *result], dtype=U8, is_dynamic=is_dynamic), rtol=0, atol=0, tflite=tflite)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", ["none", "packed"])
def test_matmul_n_bits(check: Check, bits: int, zeros: str) -> None:
    rows, columns, block = 70, 5, 32
    blocks = -(-rows // block)
    zero = {
        "none": None,
        "packed": codes(np.uint8, columns, -(-blocks * bits // 8)),
    }[zeros]
    inputs = [
        ("a", floats(2, 3, rows)),
        ("W", codes(np.uint8, columns, blocks, block * bits // 8)),
        ("S", np.abs(floats(columns, blocks))),
        ("Z", zero),
    ]
    check(
        *model(
            "MatMulNBits", inputs if zero is not None else inputs[:3], K=rows, N=columns, bits=bits, block_size=block
        ),
        rtol=1e-4,
        atol=1e-3,
    )


def test_sixteen_bit(check: Check) -> None:
    x, scale, zero = floats(3, 4) * 9, np.array([0.001], np.float32).reshape(()), np.array(300, np.uint16)
    inputs = [("x", x), ("S", scale), ("Z", zero)]
    check(*model("QuantizeLinear", inputs, dtype=TensorProto.UINT16), rtol=0, atol=0)
    check(*model("DequantizeLinear", [("x", codes(np.uint16, 3, 4)), ("S", scale), ("Z", zero)]))


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("by_column", [False, True])
def test_dynamic_quantize_lstm(check: Check, by_column: bool, direction: str, is_dynamic: bool) -> None:
    # A batch of 1: ONNX Runtime quantizes apart the rows that it gives to different threads.
    directions, size, hidden = 1 + (direction == "bidirectional"), 6, 8
    shape = (directions, 4 * hidden) if by_column else (directions,)
    inputs = [
        ("x", floats(7, 1, size)),
        ("W", codes(np.int8, directions, size, 4 * hidden)),
        ("R", codes(np.int8, directions, hidden, 4 * hidden)),
        ("B", floats(directions, 8 * hidden)),
        ("lengths", np.array([5], np.int32)),
        ("H", None),
        ("C", None),
        ("P", None),
        ("W_scale", np.abs(floats(*shape)) / 200),
        ("W_zero", np.zeros(shape, np.int8)),
        ("R_scale", np.abs(floats(*shape)) / 200),
        ("R_zero", np.zeros(shape, np.int8)),
    ]
    proto, given = model(
        "DynamicQuantizeLSTM", inputs, ["y", "h", "c"], hidden_size=hidden, direction=direction, is_dynamic=is_dynamic
    )
    check(proto, given, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("has_zeros", [False, True])
def test_gather_block_quantized(check: Check, bits: int, has_zeros: bool) -> None:
    zeros = codes(np.uint8, 9, 3 * bits // 8 + (bits == 4)) if has_zeros else None
    inputs = [
        ("T", codes(np.uint8, 9, 48 * bits // 8)),
        ("i", np.array([[0, 3], [8, 3]], np.int64)),
        ("S", np.abs(floats(9, 3))),
        ("Z", zeros),
    ]
    check(
        *model(
            "GatherBlockQuantized",
            inputs if has_zeros else inputs[:3],
            bits=bits,
            block_size=16,
            gather_axis=0,
            quantize_axis=1,
            is_dynamic=True,
        )
    )


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_quantized_average_pool(check: Check, dtype: Any, is_last: bool) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    zero = np.array(3, dtype)
    inputs = [("x", codes(dtype, 2, 6, 7, 8)), ("S", f32(0.05)), ("Z", zero), ("Y_scale", f32(0.043)), ("Y_zero", zero)]
    attributes: dict[str, Any] = {"kernel_shape": [2, 3], "pads": [0, 1, 1, 0], "channels_last": int(is_last)}
    # The mean of what was dequantized: where it lies halfway between two numbers, the order of the sum decides.
    check(*model("QLinearAveragePool", inputs, dtype=kind, **attributes), rtol=0, atol=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_max_pool_channels_last(check: Check, dtype: type) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    attributes: dict[str, Any] = {"kernel_shape": [2, 3], "pads": [0, 1, 1, 0], "strides": [2, 1]}
    check(*model("NhwcMaxPool", [("x", codes(dtype, 2, 6, 7, 8))], dtype=kind, **attributes), rtol=0, atol=0)


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid"])
def test_fused_conv(check: Check, activation: str) -> None:
    inputs = [("x", floats(2, 3, 8, 9)), ("W", floats(4, 3, 3, 3)), ("B", floats(4)), ("z", floats(2, 4, 8, 9))]
    parameters = {"LeakyRelu": [0.3], "Clip": [0.0, 1.5], "HardSigmoid": [0.1, 0.6]}.get(activation)
    attributes: dict[str, Any] = {"activation_params": parameters} if parameters else {}
    proto, given = model("FusedConv", inputs, pads=[1, 1, 1, 1], activation=activation, **attributes)
    check(proto, given, rtol=1e-4, atol=1e-5, tflite=True)


def test_quantized_attention(check: Check) -> None:
    inputs = [
        ("x", codes(np.uint8, 2, 4, 6)),
        ("W", codes(np.int8, 6, 24)),
        ("B", floats(24)),
        ("X_scale", f32(0.02)),
        ("W_scale", f32(0.01)),
        ("mask", np.array([[1, 1, 1, 0], [1, 1, 1, 1]], np.int32)),
        ("X_zero", np.array(120, np.uint8)),
        ("W_zero", np.array(3, np.int8)),
    ]
    check(*model("QAttention", inputs, num_heads=2), rtol=1e-4, atol=1e-5, tflite=True)


def test_unique(check: Check) -> None:
    x = np.array([2, 1, 1, 3, 4, 3], np.float32)
    kinds = {"index": TensorProto.INT64, "counts": TensorProto.INT64}
    check(*model("Unique", [("x", x)], ["y", "index", "counts"], dtypes=kinds, is_dynamic=True), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_qlinear_conv_channels_last(check: Check, dtype: type) -> None:
    inputs = [
        ("x", codes(dtype, 2, 9, 10, 8)),
        ("X_scale", f32(0.02)),
        ("X_zero", np.array(100, dtype)),
        ("W", codes(np.int8, 16, 8, 3, 3)),
        ("W_scale", np.abs(floats(16)) / 50 + f32(0.001)),
        ("W_zero", np.zeros(16, np.int8)),
        ("Y_scale", f32(0.4)),
        ("Y_zero", np.array(90, dtype)),
        ("B", _random.integers(-9999, 9999, 16).astype(np.int32)),
    ]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    proto, given = model("QLinearConv", inputs, dtype=kind, channels_last=1, pads=[1, 1, 1, 1], strides=[2, 1])
    check(proto, given, rtol=0, atol=0)


def softmax(x: Array) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def gelu(x: Array) -> Any:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def fast_gelu(x: Array) -> Any:
    return 0.5 * x * (1 + np.tanh(0.797885 * x + 0.035677 * x**3))


def group_norm(x: Array, gamma: Array, beta: Array) -> Any:
    """Of channels last, in 2 groups, with a SiLU behind it."""
    split = x.reshape(x.shape[0], -1, 2, x.shape[-1] // 2).astype(np.float64)
    normal = (split - split.mean((1, 3), keepdims=True)) / np.sqrt(split.var((1, 3), keepdims=True) + 1e-5)
    y = normal.reshape(x.shape) * gamma + beta
    return y / (1 + np.exp(-y))


def pairs(x: Array) -> Array:
    return np.stack([x.real, x.imag], -1)


X = floats(2, 3, 4, 8)
VECTOR, OTHER = floats(8), floats(8)
MATRIX = floats(8, 5)
GROUPS = {"groups": 2, "activation": 1}


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "expected"),
    [
        ("BiasSoftmax", [X, X[:, :1, :1]], {"axis": 3, "is_inner_broadcast": 1}, softmax(X + X[:, :1, :1])),
        (
            "BiasSoftmax",
            [X, X[0, 0]],
            {"axis": 2, "is_inner_broadcast": 0},
            softmax((X + X[0, 0]).reshape(2, 3, 32)).reshape(X.shape),
        ),
        ("BiasSplitGelu", [X[0], VECTOR], {}, (X[0] + VECTOR)[..., :4] * gelu((X[0] + VECTOR)[..., 4:])),
        ("BiasAdd", [X[0], VECTOR, X[1]], {}, X[0] + VECTOR + X[1]),
        ("BiasDropout", [X, VECTOR, X], {}, 2 * X + VECTOR),
        ("GemmFastGelu", [X[0], MATRIX], {}, fast_gelu(X[0] @ MATRIX)),
        (
            "FusedMatMulActivation",
            [X[0], MATRIX],
            {"alpha": 0.5, "activation": "Relu"},
            np.maximum(0.5 * X[0] @ MATRIX, 0),
        ),
        ("GroupNorm", [X, VECTOR, OTHER], GROUPS, group_norm(X, VECTOR, OTHER)),
        (
            "GroupNorm",
            [X.transpose(0, 3, 1, 2).copy(), VECTOR, OTHER],
            {**GROUPS, "channels_last": 0},
            group_norm(X, VECTOR, OTHER).transpose(0, 3, 1, 2),
        ),
        (
            "SkipGroupNorm",
            [X, VECTOR, OTHER, X[:, 0, 0], OTHER],
            GROUPS,
            group_norm(X + X[:, :1, :1] + OTHER, VECTOR, OTHER),
        ),
        ("Rfft", [X], {"signal_ndim": 1}, pairs(np.fft.rfft(X))),
        ("Rfft", [X], {"signal_ndim": 2}, pairs(np.fft.rfft2(X))),
        ("Irfft", [pairs(np.fft.rfft(X)).astype(np.float32)], {"signal_ndim": 1}, X),
        ("Irfft", [pairs(np.fft.rfft2(X)).astype(np.float32)], {"signal_ndim": 2}, X),
    ],
)
def test_without_kernel_for_processors(
    op_type: str, inputs: list[Array], attributes: dict[str, Any], expected: Array
) -> None:
    """ONNX Runtime has these for GPUs alone: held against what their documentation says."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    proto, given = model(op_type, [(f"x{i}", x) for i, x in enumerate(inputs)], **attributes)
    answer = to_module(proto).concrete(*(tf.constant(x) for x in given.values()))["y"].numpy()
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "expected"), [({}, [True, False, False]), ({"isnan_only": 1}, [True, True, False])]
)
def test_is_all_finite(attributes: dict[str, Any], expected: list[bool]) -> None:
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    proto, _ = model("IsAllFinite", [("x", floats(2)), ("z", floats(2))], dtype=TensorProto.BOOL, **attributes)
    call = to_module(proto).concrete
    values = ([1, 2], [1, np.inf], [np.nan, 1])
    given = [bool(call(tf.constant(value, tf.float32), tf.zeros([2]))["y"]) for value in values]
    assert given == expected


def test_heads_are_normalized() -> None:
    """ONNX Runtime does it for GPUs alone: held against nodes of their own before the attention."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    x = {"q": floats(1, 3, 64), "key": floats(1, 3, 32), "value": floats(1, 3, 32)}
    weights = {"q": np.abs(floats(16)), "key": np.abs(floats(16))}
    normal = {
        name: (rows := x[name].reshape(1, 3, -1, 16))
        / np.sqrt((rows**2).mean(-1, keepdims=True) + 1e-6)
        * weights[name]
        for name in ("q", "key")
    }
    answers = []
    for is_fused in (False, True):
        given = x if is_fused else {**x, **{name: rows.reshape(x[name].shape) for name, rows in normal.items()}}
        past = [(name, np.zeros((1, 2, 0, 16), np.float32)) for name in ("past_key", "past_value")]
        numbers = [("last", np.array([2], np.int32)), ("total", np.array(3, np.int32))]
        missing = [(name, None) for name in ("c", "s", "p", "b", "h", "ks", "vs")]
        norms = [("Q_norm", weights["q"]), ("K_norm", weights["key"])] if is_fused else []
        inputs = [*given.items(), *past, *numbers, *(missing if is_fused else [])]
        proto, fed = model("GroupQueryAttention", [*inputs, *norms], num_heads=4, kv_num_heads=2)
        if is_fused:
            answers.append(to_module(proto).concrete(*(tf.constant(array) for array in fed.values()))["y"].numpy())
        else:
            session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
            answers.append(session.run(["y"], fed)[0])
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-4, atol=1e-5)
