"""Quantized files go through a conversion: held against the graph that stands in the file, within a few steps."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from contract.errors import ParityError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CONV_NET = """g (float[n, 3, 8, 8] x) => (float[n, 5] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, W1, B1)
    b = Relu (a)
    c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)
    d = Conv <pads = [1, 1, 1, 1], group = 8> (c, W2, B2)
    e = Sigmoid (d)
    p = GlobalAveragePool (e)
    f = Flatten (p)
    l = Gemm <transB = 1> (f, W3, B3)
    y = Softmax <axis = -1> (l)
}"""

ENCODER_LAYER = """g (float[n, s, 16] x) => (float[n, s, 16] y) {
    q0 = MatMul (x, WQ)
    q1 = Reshape (q0, split)
    q = Transpose <perm = [0, 2, 1, 3]> (q1)
    k0 = MatMul (x, WK)
    k1 = Reshape (k0, split)
    k = Transpose <perm = [0, 2, 3, 1]> (k1)
    v0 = MatMul (x, WV)
    v1 = Reshape (v0, split)
    v = Transpose <perm = [0, 2, 1, 3]> (v1)
    s0 = MatMul (q, k)
    s1 = Div (s0, root)
    p = Softmax <axis = -1> (s1)
    o0 = MatMul (p, v)
    o1 = Transpose <perm = [0, 2, 1, 3]> (o0)
    o2 = Reshape (o1, join)
    o3 = MatMul (o2, WO)
    r0 = Add (o3, x)
    r = LayerNormalization <axis = -1> (r0, G1, E1)
    f0 = MatMul (r, W1)
    f1 = Add (f0, B1)
    f2 = Relu (f1)
    f3 = MatMul (f2, W2)
    r1 = Add (f3, r)
    y = LayerNormalization <axis = -1> (r1, G2, E2)
}"""

SHAPES = {
    "conv_net": {"W1": (8, 3, 3, 3), "B1": (8,), "W2": (8, 1, 3, 3), "B2": (8,), "W3": (5, 8), "B3": (5,)},
    "encoder_layer": {
        **dict.fromkeys(("WQ", "WK", "WV", "WO"), (16, 16)),
        "W1": (16, 32),
        "B1": (32,),
        "W2": (32, 16),
        **dict.fromkeys(("G1", "E1", "G2", "E2"), (16,)),
    },
}
NETS = {"conv_net": (CONV_NET, (4, 3, 8, 8)), "encoder_layer": (ENCODER_LAYER, (4, 6, 16))}


class Calibration(CalibrationDataReader):
    """One batch of normal values."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._calls = iter([{"x": np.random.default_rng(1).standard_normal(shape, np.float32)}])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._calls, None)


@pytest.fixture(scope="module", params=["QDQ", "QOperator", "dynamic"])
def form(request):
    return request.param


@pytest.fixture(scope="module", params=NETS)
def quantized(request, form, tmp_path_factory):
    """A network, quantized by ONNX Runtime's own tools."""
    text, shape = NETS[request.param]
    rng = np.random.default_rng(0)
    net = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]>\n{text}')
    weights = {name: rng.standard_normal(size) / np.sqrt(size[-1]) for name, size in SHAPES[request.param].items()}
    arrays = {name: array.astype(np.float32) for name, array in weights.items()}
    if request.param == "encoder_layer":
        arrays |= {"root": np.array(2, np.float32), "split": np.array([0, 0, 4, 4]), "join": np.array([0, 0, 16])}
    net.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    folder = tmp_path_factory.mktemp("quantized")
    onnx.save(net, folder / "float.onnx")
    if form == "dynamic":
        quantize_dynamic(folder / "float.onnx", folder / "net.onnx")
    else:
        calibration = Calibration(shape)
        quantize_static(folder / "float.onnx", folder / "net.onnx", calibration, quant_format=QuantFormat[form])
    return folder / "net.onnx"


def test_a_quantized_network_is_converted_and_its_tolerance_is_told(quantized, tmp_path):
    from pipeline.onnx_to_tf import Options, convert

    done = convert(quantized, tmp_path / "net", Options(tflite=True))
    for verification in (done.verification, done.tflite_verification):
        assert verification is not None
        assert (verification.reference, verification.reason) == ("onnxruntime", "")
        [note] = verification.notes
        assert note.startswith("y depends on quantized values (")
        assert "it may be off by 1e-06 + 0.05 of the largest value, as any of them may be rounded either way" in note


def test_no_node_of_it_differs(quantized):
    from pipeline.onnx_to_tf import first_difference

    assert first_difference(quantized) is None


def model(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]>\n{text}')


STEPS = """g (float[n, 3] x) => (uint8[n, 3] q, float[n, 3] y, float[n, 3] plain)
<float s = {0.02}, uint8 zero = {128}> {
    q = QuantizeLinear (x, s, zero)
    y = DequantizeLinear (q, s, zero)
    plain = Identity (x)
}"""


@pytest.fixture(scope="module")
def off_by():
    """QuantizeLinear and Identity whose results are off."""
    import tensorflow as tf

    from pipeline.onnx_to_tf import Family, convert
    from pipeline.onnx_to_tf.ops import registry

    right = registry().find("", "QuantizeLinear", 13)
    assert right is not None

    def made(steps: int, part: float = 0.0):
        family = Family("off")

        @family.register("QuantizeLinear", 10, 13)
        def quantize(node, x, scale, zero):
            q = tf.cast(right.handler(node, x, scale, zero), tf.int32)
            return tf.cast(q + tf.where(q > 128, -steps, steps), tf.uint8)

        @family.register("Identity", 1, 13, 14, 16)
        def identity(node, x):
            return x * (1 + part)

        return family

    return convert, made


def test_a_few_steps_are_within_the_tolerance_and_more_are_not(off_by, tmp_path):
    from pipeline.onnx_to_tf import Options, Parts

    convert, made = off_by
    done = convert(model(STEPS), tmp_path / "near", Options(families=[made(2)]))
    assert [note.partition(" depends")[0] for note in done.verification.notes] == ["q", "y"]
    assert "it may be off by 3," in done.verification.notes[0]
    with pytest.raises(ParityError, match=r"q for random input .* is over the tolerance of 3$"):
        convert(model(STEPS), tmp_path / "far", Options(families=[made(4)]))
    with pytest.raises(ParityError, match=r"q for random input .* is over the tolerance of 1$"):
        convert(model(STEPS), tmp_path / "far", Options(families=[made(2)], parts=Parts(rtol=0.1, atol=1)))


def test_what_no_quantized_value_reaches_is_compared_as_closely_as_ever(off_by, tmp_path):
    from pipeline.onnx_to_tf import Options

    convert, made = off_by
    with pytest.raises(ParityError, match=r"plain for random input .* is over the tolerance of 1e-06 \+ 0.0001 of the"):
        convert(model(STEPS), tmp_path / "net", Options(families=[made(0, part=0.01)]))
