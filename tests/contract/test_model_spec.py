"""What a model's spec refuses and finds."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import SpecError
from contract.model_spec import Framework, Method, ModelSpec, Network, Refusal, Signature, Tolerance, expected_refusal
from contract.tensor_spec import TensorSpec
from contract.tolerance import DEFAULT_TOLERANCES

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
    assert expected_refusal(SPEC.refusals, "tflite_runtime", "dynamic") == SPEC.refusals[0]
    assert expected_refusal(SPEC.refusals, "tflite_runtime", "int8") is None
    assert expected_refusal(SPEC.refusals, "ai_edge_litert", "dynamic") is None


def test_a_hop_that_the_spec_does_not_speak_of_has_the_default():
    assert SPEC.tolerance("tflite.int8") == DEFAULT_TOLERANCES["tflite.int8"]
    assert replace(SPEC, tolerances={"tflite.int8": Tolerance(0.5)}).tolerance("tflite.int8") == Tolerance(0.5)


@pytest.mark.parametrize(
    ("tolerance", "shown"),
    [
        (Tolerance(), "0"),
        (Tolerance(1e-6), "1e-06"),
        (Tolerance(rtol=0.01), "0.01 of the value"),
        (Tolerance(0.5, 0.1, 0.2), "0.5 + 0.1 of the value + 0.2 of the largest value"),
    ],
)
def test_a_tolerance_says_what_it_allows(tolerance, shown):
    assert str(tolerance) == shown


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({}, "needs either a module or a file"),
        ({"module": "net", "file": "net.pt2"}, "needs either a module or a file"),
        ({"file": "net.pt2", "weights": "net.safetensors"}, "a whole file has its weights in it"),
        ({"file": "net.pb", "framework": Framework.STATIC_GRAPH}, "is no static graph"),
        ({"module": "net", "framework": Framework.ONNX}, "an ONNX network is a file"),
    ],
)
def test_a_network_is_either_code_or_a_file(network, message):
    with pytest.raises(SpecError, match=f"network n: .*{message}"):
        Network(**{"name": "n", "framework": Framework.TORCH, **network})


def test_the_factory_of_a_network_is_build_unless_another_is_named():
    assert KERAS.factory == ("models.m.keras_net", "build")
    assert replace(KERAS, module="nets.small:make").factory == ("nets.small", "make")


def test_a_servable_may_have_a_name_of_its_own():
    assert SPEC.servable(replace(KERAS, servable="flowers")) == "flowers"


def test_a_predict_signature_may_give_some_outputs():
    assert replace(SPEC, signatures=(PREDICT, Signature("part", Method.PREDICT, outputs=("y",))))
    with pytest.raises(SpecError, match="signature part has no output 'z'"):
        replace(SPEC, signatures=(PREDICT, Signature("part", Method.PREDICT, outputs=("z",))))


@pytest.mark.parametrize(
    "signature",
    [
        Signature("serving_default", Method.REGRESS, output="y"),
        Signature("serving_default", Method.PREDICT, outputs=("y",)),
    ],
)
def test_serving_default_predicts_every_output(signature):
    with pytest.raises(SpecError, match="serving_default is a predict signature and gives every output"):
        replace(SPEC, signatures=(signature,))


def test_an_oracle_and_a_reference_exclude_each_other():
    with pytest.raises(SpecError, match="has an oracle, so that no network is the reference"):
        replace(SPEC, reference="keras")
    with pytest.raises(SpecError, match="model m has no network 'jax'"):
        replace(SPEC, oracle="", reference="jax")
    assert replace(SPEC, oracle="", reference="keras").reference == "keras"


@pytest.mark.parametrize(
    ("sizes", "message"), [({"time": (1, 2)}, "no input has an axis 'time'"), ({"batch": (0,)}, "1 is the least")]
)
def test_sizes_are_of_axes_that_there_are(sizes, message):
    with pytest.raises(SpecError, match=message):
        replace(SPEC, axis_sizes=sizes)


FULL = replace(
    SPEC,
    signatures=(PREDICT, Signature("classify", Method.CLASSIFY, output="y", classes=("no", "yes"))),
    recipes=("float32", "int8"),
    axis_sizes={"batch": (1, 4)},
    covers_range=True,
    huge_inputs=True,
)


@pytest.mark.parametrize("spec", [SPEC, FULL])
def test_a_spec_round_trips_through_json(spec):
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    "damage",
    [
        {"inputs": [{}]},
        {"inputs": None},
        {"signatures": [{"name": "serving_default", "method": "guess", "output": "", "classes": [], "outputs": []}]},
        {"networks": [{"name": "n", "framework": "jax", "module": "m"}]},
        {"tolerances": {"train": {"atol": -1}}},
        {"tolerances": {"train": {"almost": 1}}},
        {"axis_sizes": {"batch": 3}},
        {"surprise": 1},
    ],
)
def test_what_is_no_spec_is_refused(damage):
    with pytest.raises(SpecError):
        ModelSpec.from_dict({**SPEC.to_dict(), **damage})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(key=st.sampled_from(sorted(FULL.to_dict())), value=JSON)
def test_a_spec_with_anything_in_it_is_read_or_refused(key, value):
    try:
        ModelSpec.from_dict({**FULL.to_dict(), key: value})
    except SpecError as err:
        assert str(err)  # noqa: PT017 - that nothing else is raised is the point
