"""Predict on a fake servable."""

import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving import protos
from serving.handlers.predict import predict
from serving.handlers.settings import Settings


def request(signature_name="", output_filter=(), name="m", **inputs):
    message = protos.predict.PredictRequest(output_filter=output_filter)
    message.model_spec.name, message.model_spec.signature_name = name, signature_name
    for alias, values in inputs.items():
        message.inputs[alias].dtype = DataType.FLOAT
        message.inputs[alias].float_val.extend(values)
        message.inputs[alias].tensor_shape.dim.add().size = len(values)
    return message


def floats(*values):
    return Tensor(DataType.FLOAT, np.array(values, np.float32))


@pytest.fixture
def two(models, sign):
    """Two inputs, the second one with a default in ``optional``."""
    both = {"a": DataType.FLOAT, "b": DataType.FLOAT}
    found = models(
        serving_default=sign(both, ["y", "x"]),
        optional=sign(both, ["y"], defaults={"b": 5}),
        classify=sign(both, ["y"], "tensorflow/serving/classify"),
        odd=sign(both, ["y"], "my/method"),
    )
    found.servable.results = {"x:0": floats(1, 2), "y:0": floats(3)}
    return found


def test_tensors_in_tensors_out(two):
    response = predict(two, Settings(), request(a=[1], b=[2, 3]), 1.5)
    assert two.servable.runs == [(("b:0", "a:0"), [[2, 3], [1]], ("x:0", "y:0"), 1.5)]
    assert {alias: list(tensor.float_val) for alias, tensor in response.outputs.items()} == {"x": [1, 2], "y": [3]}
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 7, "serving_default")
    assert two.in_use == 0


def test_outputs_as_content(two):
    response = predict(two, Settings(as_tensor_content=True), request(a=[1], b=[2]), None)
    assert response.outputs["x"].tensor_content == np.array([1, 2], np.float32).tobytes()
    assert not response.outputs["x"].float_val


def test_outputs_that_are_wanted(two):
    response = predict(two, Settings(), request(output_filter=["y"], a=[1], b=[2]), None)
    assert list(response.outputs) == ["y"]
    predict(two, Settings(), request(output_filter=["y", "x"], a=[1], b=[2]), None)
    assert [run[2] for run in two.servable.runs] == [("y:0",), ("y:0", "x:0")]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["z"], "output tensor alias not found in signature: z Outputs expected to be in the set {x,y}."),
        (["x", "x:0"], "output tensor alias not found in signature: x:0 Outputs expected to be in the set {x,y}."),
        (["y", "y"], "duplicate output tensor alias: y"),
    ],
)
def test_outputs_that_are_refused(two, refused, wanted, message):
    call = request(output_filter=wanted, a=[1], b=[2])
    assert refused(lambda: predict(two, Settings(), call, None)) == (Code.INVALID_ARGUMENT, message)
    assert two.servable.runs == []


SIZE = "input size does not match signature: {}!=2 len({{{}}}) != len({{a,b}}). Sent extra: {{{}}}. "


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, SIZE.format(0, "", "") + "Missing but required: {a,b}."),
        ({"b": [1]}, SIZE.format(1, "b", "") + "Missing but required: {a}."),
        ({"c": [1]}, SIZE.format(1, "c", "c") + "Missing but required: {a,b}."),
        ({"b": [1], "a": [1], "c": [1]}, SIZE.format(3, "a,b,c", "c") + "Missing but required: {}."),
        (
            {"a": [1], "c": [1]},
            (
                "Signature input alias: b(feed name: b:0) not found in request and no default value provided. Inputs "
                "expected to be in the request {a,c}, or default input alias set: "
            ),
        ),
    ],
)
def test_inputs_that_do_not_fit(two, refused, inputs, message):
    assert refused(lambda: predict(two, Settings(), request(**inputs), None)) == (Code.INVALID_ARGUMENT, message)
    assert two.servable.runs == []
    assert two.in_use == 0


def test_inputs_that_may_be_left_out(two, refused):
    predict(two, Settings(), request("optional", a=[1]), None)
    predict(two, Settings(), request("optional", a=[1], b=[2]), None)
    assert [run[1] for run in two.servable.runs] == [[5, [1]], [[2], [1]]]
    assert refused(lambda: predict(two, Settings(), request("optional", b=[1]), None)) == (
        Code.INVALID_ARGUMENT,
        (
            "Signature input alias: a(feed name: a:0) not found in request and no default value provided. Inputs "
            "expected to be in the request {b}, or default input alias set: b"
        ),
    )
    assert refused(lambda: predict(two, Settings(), request("optional", a=[1], c=[1]), None)) == (
        Code.INVALID_ARGUMENT,
        "Inputs contains invalid name. Used request inputs: a, request input: a,c",
    )


def test_an_input_that_is_no_tensor(two, refused):
    call = request(a=[1], b=[2])
    call.inputs["b"].tensor_shape.dim[0].size = -1
    assert refused(lambda: predict(two, Settings(), call, None)) == (
        Code.INVALID_ARGUMENT,
        "tensor parsing error: b",
    )


def test_requests_without_a_model(two, refused):
    assert refused(lambda: predict(two, Settings(), protos.predict.PredictRequest(), None)) == (
        Code.INVALID_ARGUMENT,
        "Missing ModelSpec",
    )
    assert refused(lambda: predict(two, Settings(), request(name="x"), None))[0] is Code.NOT_FOUND


def test_an_unknown_signature(two, refused):
    assert refused(lambda: predict(two, Settings(), request("nope"), None)) == (
        Code.FAILED_PRECONDITION,
        'Serving signature key "nope" not found.',
    )


def test_methods_are_looked_at_where_that_is_wanted(two, refused):
    for name in ("classify", "odd"):
        predict(two, Settings(), request(name, a=[1], b=[2]), None)
    strict = Settings(check_method_name=True)
    predict(two, strict, request("classify", a=[1], b=[2]), None)
    assert refused(lambda: predict(two, strict, request("odd", a=[1], b=[2]), None)) == (
        Code.INTERNAL,
        (
            "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
            "tensorflow/serving/classify, tensorflow/serving/regress}. Was: my/method"
        ),
    )


@pytest.mark.parametrize("error", [StatusError(Code.DEADLINE_EXCEEDED, "late"), MemoryError()])
def test_what_the_runtime_raises_goes_through(two, error):
    two.servable.error = error
    with pytest.raises(type(error)):
        predict(two, Settings(), request(a=[1], b=[2]), None)
    assert two.in_use == 0
