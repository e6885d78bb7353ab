"""What a model's spec refuses and finds."""

from dataclasses import replace

import pytest

from contract.errors import SpecError
from contract.model_spec import Framework, Method, ModelSpec, Network, Refusal, Signature, Tolerance
from contract.tensor_spec import TensorSpec

X = TensorSpec("x", "float32", ("batch", 2))
Y = TensorSpec("y", "float32", ("batch", 1))
PREDICT = Signature("serving_default", Method.PREDICT)
KERAS = Network("keras", Framework.KERAS, "models.m.keras_net")
SPEC = ModelSpec(
    name="m",
    inputs=(X,),
    outputs=(Y,),
    signatures=(PREDICT,),
    networks=(KERAS,),
    data="models.m.data",
    oracle="models.m.numpy_net",
    tolerances={"train": Tolerance(1e-5)},
    refusals=(Refusal("tflite_runtime", "dynamic", "too old"),),
)


def test_tolerance_of_a_hop():
    assert SPEC.tolerance("train") == Tolerance(1e-5, 0.0)
    with pytest.raises(SpecError, match=r"model m states no tolerance for the hop tflite\.int4"):
        SPEC.tolerance("tflite.int4")


@pytest.mark.parametrize("ends", [(-1e-9, 0.0), (0.0, -1e-9), (float("nan"), 0.0), (0.0, float("nan"))])
def test_a_tolerance_is_not_negative(ends):
    with pytest.raises(SpecError, match="a tolerance is not negative: atol"):
        Tolerance(*ends)


def test_network_by_name():
    assert SPEC.network("keras") is KERAS
    assert SPEC.servable(KERAS) == "m_keras"
    with pytest.raises(SpecError, match=r"model m has no network 'jax', only \['keras'\]"):
        SPEC.network("jax")


@pytest.mark.parametrize(
    "tensors",
    [
        {"inputs": (X, X)},
        {"outputs": (Y, Y)},
        {"outputs": (replace(Y, name="x"),)},
        {"inputs": ()},
        {"outputs": ()},
    ],
)
def test_every_tensor_has_a_name_of_its_own(tensors):
    with pytest.raises(SpecError, match="model m: needs inputs and outputs, each name once"):
        replace(SPEC, **tensors)


@pytest.mark.parametrize("signatures", [(), (Signature("predict", Method.PREDICT),)])
def test_serving_default_has_to_be_there(signatures):
    with pytest.raises(SpecError, match="model m: one signature has to be serving_default"):
        replace(SPEC, signatures=signatures)


@pytest.mark.parametrize("method", [Method.CLASSIFY, Method.REGRESS])
@pytest.mark.parametrize("output", ["", "x", "z"])
def test_a_signature_s_output_is_one_of_the_model_s(method, output):
    with pytest.raises(SpecError, match=f"model m: signature score has no output '{output}'"):
        replace(SPEC, signatures=(PREDICT, Signature("score", method, output=output)))
    assert replace(SPEC, signatures=(PREDICT, Signature("score", method, output="y"))).signatures[1].output == "y"


def test_expected_refusal():
    assert SPEC.refusal("tflite_runtime", "dynamic") == SPEC.refusals[0]
    assert SPEC.refusal("tflite_runtime", "int8") is None
    assert SPEC.refusal("ai_edge_litert", "dynamic") is None
