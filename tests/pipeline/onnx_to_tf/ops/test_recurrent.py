"""Recurrent layers: against ONNX Runtime, with what is unknown at conversion, and in TFLite."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

pytestmark = pytest.mark.slow

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FEATURES, HIDDEN = 3, 5


def model(
    op_type: str,
    *,
    opset: int = 14,
    direction: str = "forward",
    shape: tuple[Any, Any] = ("time", "batch"),
    lengths: bool = False,
    states: bool = False,
    peepholes: bool = False,
    bias: bool = True,
    outputs: tuple[str, ...] = ("Y", "Y_h"),
    **attributes: Any,
) -> onnx.ModelProto:
    """One layer with random weights; time and batch are dynamic unless ``shape`` says otherwise."""
    draw = np.random.default_rng(7)
    directions = 2 if direction == "bidirectional" else 1
    gates = GATES[op_type]
    weights = {
        "W": draw.normal(size=(directions, gates * HIDDEN, FEATURES)),
        "R": draw.normal(size=(directions, gates * HIDDEN, HIDDEN)) * 0.4,
        **({"B": draw.normal(size=(directions, 2 * gates * HIDDEN))} if bias else {}),
        **({"P": draw.normal(size=(directions, 3 * HIDDEN))} if peepholes else {}),
    }
    inputs = ["X", "W", "R", "B" if bias else "", "lengths" if lengths else "", "h" if states else ""]
    if op_type == "LSTM":
        inputs += ["c" if states else "", "P" if peepholes else ""]
    batch = shape[0] if attributes.get("layout") else shape[1]
    state = [batch, directions, HIDDEN] if attributes.get("layout") else [directions, batch, HIDDEN]
    given = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [*shape, FEATURES])]
    if lengths:
        given.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [batch]))
    if states:
        given += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, state)
            for name in ("h", "c")
            if name == "h" or op_type == "LSTM"
        ]
    if op_type == "LSTM" and len(outputs) == 2:
        outputs = (*outputs, "Y_c")
    node = helper.make_node(op_type, inputs, outputs, direction=direction, hidden_size=HIDDEN, **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        given,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def feed(proto: onnx.ModelProto, *, time: int = 4, batch: int = 2) -> dict[str, NDArray[Any]]:
    """Random inputs."""
    draw = np.random.default_rng(3)
    sizes = {"time": time, "batch": batch}
    made: dict[str, NDArray[Any]] = {}
    for value in proto.graph.input:
        shape = [sizes.get(d.dim_param, d.dim_value) for d in value.type.tensor_type.shape.dim]
        made[value.name] = draw.normal(size=shape).astype(np.float32)
    if "lengths" in made:
        made["lengths"] = np.array([time, *[max(1, time - 2)] * (batch - 1)], np.int32)
    return made


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_dynamic_time_and_batch_in_tflite_too(check: Any, op_type: str, direction: str) -> None:
    """Also a later call of other sizes."""
    proto = model(op_type, direction=direction)
    check(proto, feed(proto), feed(proto, time=7, batch=3), tflite=True)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_lengths_and_states(check: Any, op_type: str, direction: str) -> None:
    """Shorter sequences keep their states and give zeros past their end."""
    proto = model(op_type, direction=direction, lengths=True, states=True)
    check(proto, feed(proto), feed(proto, time=6, batch=3), tflite=True)


@pytest.mark.parametrize("op_type", GATES)
def test_static_in_tflite(check: Any, op_type: str) -> None:
    """With every axis known."""
    proto = model(op_type, shape=(4, 2), states=True)
    check(proto, feed(proto), tflite=True)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("opset", [7, 14, 22])
def test_opsets_without_bias(check: Any, op_type: str, opset: int) -> None:
    """Older and newer versions, and no bias."""
    proto = model(op_type, opset=opset, bias=False)
    check(proto, feed(proto))


@pytest.mark.parametrize("op_type", GATES)
def test_batch_first(check: Any, op_type: str) -> None:
    """Layout 1, which ONNX Runtime lacks: what it gives for layout 0, turned."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    proto = model(op_type, direction="bidirectional", shape=("batch", "time"), layout=1, states=True)
    inputs = feed(proto)
    given = to_module(proto).serve(*(tf.constant(array) for array in inputs.values()))
    plain = model(op_type, direction="bidirectional", states=True)
    expected = check(plain, {name: array.transpose(1, 0, 2) for name, array in inputs.items()})
    np.testing.assert_allclose(given["Y"].numpy().transpose(1, 2, 0, 3), expected["Y"], rtol=1e-5, atol=1e-6)
    for name in set(expected) - {"Y"}:
        np.testing.assert_allclose(given[name].numpy().transpose(1, 0, 2), expected[name], rtol=1e-5, atol=1e-6)


def test_only_the_last_state(check: Any) -> None:
    """An output that nobody wants."""
    proto = model("GRU", outputs=("", "Y_h"))
    check(proto, feed(proto), tflite=True)


@pytest.mark.parametrize("is_linear_first", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_gru_linear_before_reset(check: Any, is_linear_first: int, bias: bool) -> None:
    """Both orders, and clipped."""
    proto = model("GRU", linear_before_reset=is_linear_first, bias=bias, clip=0.5)
    check(proto, feed(proto), tflite=True)


@pytest.mark.parametrize("is_coupled", [0, 1])
def test_lstm_peepholes_and_clip(check: Any, is_coupled: int) -> None:
    """Peepholes of both directions, with input and forget gates coupled or not."""
    proto = model("LSTM", direction="bidirectional", peepholes=True, clip=0.7, input_forget=is_coupled)
    check(proto, feed(proto), tflite=True)


@pytest.mark.parametrize(
    ("names", "alphas", "betas"),
    [
        (["Relu"], [], []),
        (["Sigmoid"], [], []),
        (["Softsign"], [], []),
        (["Softplus"], [], []),
        (["Affine"], [0.5], [0.1]),
        (["LeakyRelu"], [0.2], []),
        (["LeakyRelu"], [], []),
        (["ThresholdedRelu"], [0.3], []),
        (["ScaledTanh"], [1.2], [0.7]),
        (["HardSigmoid"], [0.3], [0.4]),
        (["HardSigmoid"], [], []),
        (["Elu"], [0.8], []),
    ],
)
def test_activations(check: Any, names: list[str], alphas: list[float], betas: list[float]) -> None:
    """Each one of ONNX's."""
    given = {"activation_alpha": alphas, "activation_beta": betas}
    parameters: dict[str, Any] = {name: values for name, values in given.items() if values}
    proto = model("RNN", activations=names, **parameters)
    check(proto, feed(proto))


def test_activations_of_two_directions(check: Any) -> None:
    """Parameters go to the functions that take any, in order."""
    proto = model(
        "GRU",
        direction="bidirectional",
        activations=["HardSigmoid", "LeakyRelu", "Sigmoid", "ScaledTanh"],
        activation_alpha=[0.3, 0.2, 0.9],
        activation_beta=[0.4, 0.6],
    )
    check(proto, feed(proto))


def test_weights_train() -> None:
    """Gradients reach every weight."""
    import tensorflow as tf

    from pipeline.onnx_to_tf.convert import to_module

    proto = model("LSTM")
    module = to_module(proto)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module.serve(tf.constant(feed(proto)["X"]))["Y"])
    gradients = tape.gradient(loss, list(module.weights.values()))
    assert all(float(tf.reduce_sum(tf.abs(gradient))) > 0 for gradient in gradients)
