"""What ONNX Runtime's quantizers and optimizers make of small models: converted, and held against ONNX Runtime."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from contract.errors import UnsupportedOpError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\s+Warning. tf.lite.Interpreter is deprecated:UserWarning"),
]

Array = NDArray[Any]
_random = np.random.default_rng(0)


def floats(*shape: int) -> Any:
    return (_random.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def model(text: str, weights: dict[str, Array]) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]>\n{text}')
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return proto


def convolutional() -> tuple[onnx.ModelProto, Array]:
    text = """g (float[n, 3, 16, 16] x) => (float[n, 10] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, W1, B1)
        b = Relu (a)
        c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)
        d = Conv <pads = [1, 1, 1, 1]> (c, W2, B2)
        e = Add (d, c)
        f = Relu (e)
        i = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (f)
        j = Conv <pads = [1, 1, 1, 1], group = 8> (i, W3, B3)
        k = Sigmoid (j)
        l = Concat <axis = 1> (k, i)
        m = LeakyRelu <alpha = 0.1> (l)
        p = GlobalAveragePool (m)
        q = Flatten (p)
        y = Gemm <transB = 1> (q, W4, B4)
    }"""
    weights = {
        "W1": floats(8, 3, 3, 3),
        "B1": floats(8),
        "W2": floats(8, 8, 3, 3) / 3,
        "B2": floats(8),
        "W3": floats(8, 1, 3, 3),
        "B3": floats(8),
        "W4": floats(10, 16),
        "B4": floats(10),
    }
    return model(text, weights), floats(2, 3, 16, 16) * 4


def encoder() -> tuple[onnx.ModelProto, Array]:
    """One layer of a transformer, as exporters write it."""
    text = """g (float[n, s, 32] x) => (float[n, s, 32] y) {
        q0 = MatMul (x, WQ)
        q1 = Add (BQ, q0)
        q2 = Reshape (q1, split)
        q = Transpose <perm = [0, 2, 1, 3]> (q2)
        k0 = MatMul (x, WK)
        k1 = Add (BK, k0)
        k2 = Reshape (k1, split)
        k = Transpose <perm = [0, 2, 3, 1]> (k2)
        v0 = MatMul (x, WV)
        v1 = Add (BV, v0)
        v2 = Reshape (v1, split)
        v = Transpose <perm = [0, 2, 1, 3]> (v2)
        s0 = MatMul (q, k)
        s1 = Div (s0, root)
        p = Softmax <axis = -1> (s1)
        o0 = MatMul (p, v)
        o1 = Transpose <perm = [0, 2, 1, 3]> (o0)
        o2 = Reshape (o1, join)
        o3 = MatMul (o2, WO)
        o4 = Add (BO, o3)
        r0 = Add (o4, x)
        r = LayerNormalization <axis = -1, epsilon = 1e-5> (r0, G1, E1)
        f0 = MatMul (r, W1)
        f1 = Add (B1, f0)
        g0 = Div (f1, sqrt2)
        g1 = Erf (g0)
        g2 = Add (g1, one)
        g3 = Mul (f1, g2)
        g4 = Mul (g3, half)
        f2 = MatMul (g4, W2)
        f3 = Add (B2, f2)
        r1 = Add (f3, r)
        y = LayerNormalization <axis = -1, epsilon = 1e-5> (r1, G2, E2)
    }"""
    square = {name: floats(32, 32) for name in ("WQ", "WK", "WV", "WO")}
    biases = {name: floats(32) for name in ("BQ", "BK", "BV", "BO", "B2", "E1", "E2")}
    scalars = {"root": np.sqrt(8), "sqrt2": np.sqrt(2), "one": 1, "half": 0.5}
    weights = {
        **square,
        **biases,
        **{name: np.array(value, np.float32) for name, value in scalars.items()},
        "G1": 1 + floats(32),
        "G2": 1 + floats(32),
        "W1": floats(32, 64),
        "B1": floats(64),
        "W2": floats(64, 32),
        "split": np.array([0, 0, 4, 8], np.int64),
        "join": np.array([0, 0, 32], np.int64),
    }
    return model(text, weights), floats(2, 5, 32) * 6


def recurrent() -> tuple[onnx.ModelProto, Array]:
    text = """g (float[t, 1, 12] x) => (float[t, 1, 6] y) {
        a, h, c = LSTM <hidden_size = 16> (x, W, R, B)
        b = Squeeze (a, axes)
        y = MatMul (b, P)
    }"""
    weights = {
        "W": floats(1, 64, 12),
        "R": floats(1, 64, 16),
        "B": floats(1, 128),
        "P": floats(16, 6),
        "axes": np.array([1], np.int64),
    }
    return model(text, weights), floats(9, 1, 12) * 4


MODELS: dict[str, Callable[[], tuple[onnx.ModelProto, Array]]] = {
    "convolutional": convolutional,
    "encoder": encoder,
    "recurrent": recurrent,
}


class Calibration(CalibrationDataReader):
    def __init__(self, x: Array) -> None:
        self.batches: Iterator[dict[str, Array]] = iter([{"x": x}, {"x": x * np.float32(0.7)}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.batches, None)


def hold(proto: onnx.ModelProto, x: Array, folder: Path, *, atol: float, tflite: bool = False) -> None:
    """Holds the converted model against ONNX Runtime running the model as it is, on one thread."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module
    from pipeline.onnx_to_tf.module import save

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    save(to_module(proto), folder / "saved_model")
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    given = loaded.signatures["serving_default"](x=tf.constant(x))["y"].numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=atol)
    if tflite:
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(folder / "saved_model"), signature_keys=["serving_default"]
        )
        runner = tf.lite.Interpreter(model_content=converter.convert()).get_signature_runner("serving_default")
        np.testing.assert_allclose(runner(x=x)["y"], expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
@pytest.mark.parametrize("name", MODELS)
def test_optimized(tmp_path: Path, name: str, level: str) -> None:
    proto, x = MODELS[name]()
    hold(optimized(proto, tmp_path, level), x, tmp_path, atol=1e-5, tflite=True)


def optimized(proto: onnx.ModelProto, folder: Path, level: str) -> onnx.ModelProto:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimized.onnx")


def test_layout_of_one_processor_is_refused(tmp_path: Path) -> None:
    from pipeline.onnx_to_tf.convert import to_module

    proto = convolutional()[0]
    blocked = optimized(proto, tmp_path, "ORT_ENABLE_ALL")
    if not any(node.domain == "com.microsoft.nchwc" for node in blocked.graph.node):
        pytest.skip("ONNX Runtime has no such layout for this processor")
    with pytest.raises(UnsupportedOpError, match="at the level extended"):
        to_module(blocked)


@pytest.mark.parametrize(
    ("weights", "per_channel", "is_optimized"),
    [("QInt8", False, False), ("QInt8", True, True), ("QUInt8", False, True), ("QUInt8", True, False)],
)
@pytest.mark.parametrize("name", MODELS)
def test_quantized_dynamically(tmp_path: Path, name: str, weights: str, per_channel: bool, is_optimized: bool) -> None:
    proto, x = MODELS[name]()
    onnx.save(proto, tmp_path / "float.onnx")
    quantize_dynamic(
        tmp_path / "float.onnx",
        tmp_path / "quantized.onnx",
        weight_type=QuantType[weights],
        per_channel=per_channel,
    )
    quantized = onnx.load(tmp_path / "quantized.onnx")
    if is_optimized:
        quantized = optimized(quantized, tmp_path, "ORT_ENABLE_EXTENDED")
    # An input of a later quantization that differs in its last bit may be rounded to the next number.
    hold(quantized, x, tmp_path, atol=0.02, tflite=name != "recurrent")


@pytest.mark.parametrize(
    ("kinds", "per_channel", "is_optimized"),
    [
        ("QUInt8 QInt8", False, False),
        ("QUInt8 QInt8", True, True),
        ("QInt8 QInt8", False, True),
        ("QInt8 QInt8", True, False),
        ("QUInt8 QUInt8", False, True),
    ],
)
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("name", ["convolutional", "encoder"])
def test_quantized_statically(
    tmp_path: Path, name: str, form: str, kinds: str, per_channel: bool, is_optimized: bool
) -> None:
    activation, weight = (QuantType[kind] for kind in kinds.split())
    proto, x = MODELS[name]()
    onnx.save(proto, tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "quantized.onnx",
        Calibration(x),
        quant_format=QuantFormat[form],
        activation_type=activation,
        weight_type=weight,
        per_channel=per_channel,
    )
    quantized = onnx.load(tmp_path / "quantized.onnx")
    if is_optimized:
        quantized = optimized(quantized, tmp_path, "ORT_ENABLE_EXTENDED")
    # Three steps of the output: a number halfway between two may be rounded either way, and others follow from it.
    hold(quantized, x, tmp_path, atol=0.12, tflite=True)
