"""Both clients on both protocols against a small server in this process, and against the project's own."""

import asyncio
import inspect
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from contract.errors import Code, SpecError, StatusError, UsageError
from contract.tensor_spec import TensorSpec
from serving.client import AsyncClient, Client, VersionStatus

pytestmark = pytest.mark.slow  # starts a server

KINDS = ("grpc", "rest")


def array(dtype: str, values: Any) -> Any:
    return np.array(values, dtype)


class InLoop:
    """An `AsyncClient` that is called like a `Client`."""

    def __init__(self, *arguments, **options):
        self._loop = asyncio.new_event_loop()
        self._client = AsyncClient(*arguments, **options)

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._loop.run_until_complete(method(*arguments, **options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.run_until_complete(self._client.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture(params=[Client, InLoop], ids=["sync", "async"])
def connect(request):
    """Opens clients and closes them after the test."""
    opened = []

    def made(*arguments, **options):
        client = request.param(*arguments, **options)
        opened.append(client)
        return client

    yield made
    for client in opened:
        client.__exit__()


@pytest.fixture(params=["fake", "real"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=KINDS)
def client(request, server, connect):
    return connect(server.target(request.param), model="half_plus_two")


def error(code, function, *arguments, **options):
    with pytest.raises(StatusError) as caught:
        function(*arguments, **options)
    assert caught.value.code is code, caught.value
    return caught.value.message


# --- answers, of both servers


def test_predict_answers_by_name(client):
    assert {name: array.tolist() for name, array in client.predict({"x": [1, 2]}).items()} == {"y": [4.5, 5.0]}
    y = client.predict(array("float32", [4]), model="half_plus_two")["y"]
    assert (y.dtype, y.tolist(), y.flags.writeable) == (np.float32, [6.0], True)


def test_outputs_are_chosen(client):
    assert set(client.predict([2], signature="both")) == {"y", "z"}
    found = client.predict([2], signature="both", outputs=["z"])
    assert {name: array.tolist() for name, array in found.items()} == {"z": [105.0]}


def test_metadata_has_specs(client):
    found = client.metadata()
    assert found["both"].inputs == (TensorSpec("x", "float32", ("axis0",)),)
    assert found["both"].outputs == (TensorSpec("y", "float32", ("axis1",)), TensorSpec("z", "float32", ("axis2",)))
    assert found["both"].method == "tensorflow/serving/predict"
    shapes = client.metadata("shapes")
    assert [shapes[name].inputs[0].shape for name in ("scalar", "unknown", "fixed")] == [(), ("...",), (2, 3)]
    assert shapes["empty_inner"].outputs[0].shape[1] == "0"
    assert shapes["defaults"].optional == {"b"}
    types = {spec.name: spec.dtype for spec in client.metadata("types")["serving_default"].inputs}
    assert (types["bf16"], types["s"], types["c64"]) == ("bfloat16", "object", "complex64")


TYPES: dict[str, Any] = {
    "b": np.array([True, False]),
    "s": np.array([b"\xff\0", b"a"], object),
    "f32": array("float32", [0.1, np.inf]),
    "f64": array("float64", [0.1, 1e300]),
    "i8": array("int8", [-128, 127]),
    "i16": array("int16", [-(2**15), 3]),
    "i32": array("int32", [-(2**31), 3]),
    "i64": array("int64", [-(2**63), 2**63 - 1]),
    "u8": array("uint8", [0, 255]),
    "u32": array("uint32", [0, 2**32 - 1]),
    "u64": array("uint64", [0, 2**64 - 1]),
}
GRPC_TYPES: dict[str, Any] = {
    "f16": array("float16", [0.1, -2]),
    "bf16": np.array([1.5, -2], ml_dtypes.bfloat16),
    "u16": array("uint16", [0, 2**16 - 1]),
    "c64": array("complex64", [1 + 2j, -1j]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_there_and_back(kind, server, connect):
    client = connect(server.target(kind), model="types")
    inputs = TYPES if kind == "rest" else TYPES | GRPC_TYPES
    outputs = client.predict(inputs, signature="rest" if kind == "rest" else "serving_default")
    assert outputs.keys() == inputs.keys()
    for name, array in inputs.items():
        assert outputs[name].dtype == array.dtype
        np.testing.assert_array_equal(outputs[name], array)
    assert client.predict(["ä", b"\0"], signature="bytes")["s_bytes"].tolist() == ["ä".encode(), b"\0"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_there_and_back(kind, server, connect):
    client = connect(server.target(kind), model="shapes")
    assert client.predict(1.5, signature="scalar")["y"].tolist() == 2.5
    assert client.predict("ä", signature="scalar_string")["y"].item() == "ä".encode()
    for signature, shape in (("matrix", (0, 2)), ("matrix", (3, 2)), ("unknown", ()), ("unknown", (1, 0, 2))):
        x = np.ones(shape, np.float32)
        y = client.predict(x, signature=signature)["y"]
        # JSON writes an array without rows as [], which has no further axes but those of the signature.
        assert y.shape == (shape if kind == "grpc" or 0 not in shape or signature == "matrix" else (1, 0))
    assert client.predict(np.full((2, 3), np.nan, np.float32), signature="fixed")["y"].shape == (2, 3)


def test_a_default_fills_an_input_over_grpc(server, connect):
    client = connect(server.grpc, model="shapes")
    assert client.predict({"a": [1, 2]}, signature="defaults")["sum"].tolist() == [11, 12]


@pytest.mark.parametrize("kind", KINDS)
def test_classify_and_regress(kind, server, connect):
    client = connect(server.target(kind), model="example")
    examples = [{"x": 1.5, "n": 7, "s": "ä"}, {"x": [0.1]}]
    rows = client.classify(examples, signature="classify")
    assert rows[0] == [("ä", 1.5), ("one", 2.5), ("two", 7.0)]
    assert rows[1] == [("-", float(np.float32(0.1))), ("one", pytest.approx(1.1)), ("two", 0.0)]
    assert client.regress(examples, signature="regress") == [2.75, pytest.approx(2.05)]
    assert isinstance(client.regress(examples)[0], float)


def test_status_and_ready(client):
    first = client.status()[0]
    assert (first.version, first.state, first.code) == (3, "AVAILABLE", Code.OK)
    assert client.ready()
    assert client.ready("types")
    assert not client.ready("absent")


def test_an_unknown_model_is_the_servers_words(client):
    message = error(Code.NOT_FOUND, client.predict, [1], model="absent")
    assert "Servable not found for request: Latest(absent)" in message


@pytest.mark.parametrize(
    ("model", "signature", "inputs", "message"),
    [
        ("half_plus_two", "serving_default", {"z": [1]}, "missing x; unknown z; the inputs are x float32[axis0]"),
        ("half_plus_two", "serving_default", {}, "missing x; the inputs are x float32[axis0]"),
        (
            "half_plus_two",
            "serving_default",
            array("float64", [1]),
            "input x: wanted x float32[axis0], given float64[1]",
        ),
        ("half_plus_two", "serving_default", [[1]], "input x: wanted x float32[axis0], given float32[1, 1]"),
        (
            "half_plus_two",
            "absent",
            [1],
            "there is no signature 'absent', only both, only_in_3, plus_hundred, serving_default",
        ),
        ("shapes", "two", [1], "a bare array is for one input; the inputs are a float32[axis"),
        ("shapes", "fixed", [[1, 2]], "input x: wanted x float32[2, 3], given float32[1, 2]"),
        ("shapes", "matrix", [[1, 2, 3]], ", 2], given float32[1, 3]"),
        ("shapes", "defaults", {"b": [1]}, "missing a; the inputs are a float32[axis"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(client, model, signature, inputs, message):
    with pytest.raises(SpecError) as caught:
        client.predict(inputs, model=model, signature=signature)
    assert str(caught.value).startswith(f"{model}, signature {signature}: ")
    assert message in str(caught.value)


def test_an_unknown_output(client):
    with pytest.raises(SpecError, match="there is no output q, only y, z"):
        client.predict([1], signature="both", outputs=["q"])


@pytest.mark.parametrize("kind", KINDS)
def test_versions_and_labels(kind, real, connect):
    client = connect(real.target(kind), model="half_plus_two")
    assert client.predict([1], version=3)["y"].tolist() == [4.5]
    assert "Specific(half_plus_two, 9)" in error(Code.NOT_FOUND, client.predict, [1], version=9)
    message = error(Code.INVALID_ARGUMENT, client.predict, [1], label="stable/x")
    assert "Unrecognized servable version label: stable/x" in message


def test_a_unix_socket(make_fake, connect, tmp_path):
    address = f"unix:{tmp_path / 'grpc.sock'}"
    make_fake(address)
    assert connect(address, model="half_plus_two").predict([1])["y"].tolist() == [4.5]


def test_the_unix_socket_of_the_real_server(real, connect):
    assert connect(f"unix:{real.socket}", model="half_plus_two").predict([1])["y"].tolist() == [4.5]


# --- what goes over the wire


def test_the_signature_is_fetched_once(fake, connect):
    client = connect(fake.grpc, model="half_plus_two")
    for _ in range(3):
        client.predict([1])
    assert [name for name, _ in fake.calls] == ["GetModelMetadata", "Predict", "Predict", "Predict"]
    assert fake.calls[1][1].inputs["x"].tensor_content == array("float32", [1]).tobytes()
    with pytest.raises(SpecError):
        client.predict([[1]])
    assert fake.calls[-1][0] == "GetModelMetadata"  # the model may have been replaced
    fake.version = 4
    client.predict([1])
    client.predict([1])
    assert [name for name, _ in fake.calls[-3:]] == ["Predict", "GetModelMetadata", "Predict"]
    fake.errors = [(Code.INVALID_ARGUMENT, "no")]
    assert error(Code.INVALID_ARGUMENT, client.predict, [1]) == "no"
    client.predict([1])
    assert [name for name, _ in fake.calls[-2:]] == ["GetModelMetadata", "Predict"]


def test_the_version_or_the_label_is_sent(fake, connect):
    client = connect(fake.grpc, model="half_plus_two")
    client.predict([1], version=2)
    client.predict([1], label="stable", outputs=["y"])
    specs = [request.model_spec for _, request in fake.calls]
    assert [spec.version.value for spec in specs] == [2, 2, 0, 0]
    assert [spec.version_label for spec in specs] == ["", "", "stable", "stable"]
    assert fake.calls[-1][1].output_filter == ["y"]
    client = connect(fake.rest, model="a b/c")
    error(Code.NOT_FOUND, client.predict, [1], label="x/y")
    assert fake.calls[-1][0] == "/v1/models/a%20b%2Fc/labels/x%2Fy/metadata"


def test_typed_fields_in_answers(fake, connect):
    fake.typed = True
    client = connect(fake.grpc, model="types")
    outputs = client.predict(TYPES | GRPC_TYPES)
    for name, array in (TYPES | GRPC_TYPES).items():
        assert outputs[name].dtype == array.dtype
        np.testing.assert_array_equal(outputs[name], array)


def test_examples_keep_their_kinds(fake, connect):
    examples = [{"x": [1, 2.5], "n": [True, 7], "s": ["ä", b"\xff"], "e": [], "a": array("int32", [3])}]
    connect(fake.grpc, model="example").regress(examples)
    [example] = fake.calls[-1][1].input.example_list.examples
    kinds = {name: feature.WhichOneof("kind") for name, feature in example.features.feature.items()}
    assert kinds == {"x": "float_list", "n": "int64_list", "s": "bytes_list", "e": None, "a": "int64_list"}
    connect(fake.rest, model="example").regress(examples)
    body = json.loads(fake.calls[-1][1])
    assert repr(body["examples"][0]["x"]) == "[1.0, 2.5]"
    assert (body["examples"][0]["n"], body["signature_name"]) == ([1, 7], "serving_default")
    assert body["examples"][0]["s"] == [{"b64": "w6Q="}, {"b64": "/w=="}]


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"x": 1}, "wanted a list of dictionaries"),
        ([1], "wanted a list of dictionaries"),
        ([{"x": 1}, {"x": [1, "a"]}], "example 1, feature x: wanted a flat list of numbers or of strings"),
        ([{"x": [[1]]}], "example 0, feature x: wanted a flat list of numbers or of strings, given list"),
        ([{"x": 2**63}], "example 0, feature x: 9223372036854775808 is outside the range of int64"),
    ],
)
def test_what_is_no_example(fake, connect, examples, message):
    with pytest.raises(SpecError, match=message):
        connect(fake.grpc, model="example").classify(examples)


@pytest.mark.parametrize("kind", KINDS)
def test_the_token_is_sent(kind, fake, connect):
    connect(fake.target(kind), model="half_plus_two", token="s3cret").predict([1])
    assert fake.headers["authorization"] == "Bearer s3cret"


def test_more_than_four_megabytes_come_back(fake, connect):
    x = np.arange(3_000_000, dtype=np.float32)
    np.testing.assert_array_equal(connect(fake.grpc, model="half_plus_two").predict(x)["y"], x * np.float32(0.5) + 4)


def test_status_of_a_version_that_failed(fake, connect):
    for kind in KINDS:
        found = connect(fake.target(kind), model="types").status()
        assert found == [VersionStatus(3, "AVAILABLE"), VersionStatus(1, "END", Code.NOT_FOUND, "gone")]


# --- errors, deadlines, retries


@pytest.mark.parametrize("kind", KINDS)
def test_unavailable_is_tried_again_and_nothing_else(kind, fake, connect):
    client = connect(fake.target(kind), model="half_plus_two")
    client.predict([1])
    fake.calls.clear()
    fake.errors = [(Code.UNAVAILABLE, "queue full")] * 3
    assert client.predict([1])["y"].tolist() == [4.5]
    assert len(fake.calls) == 4
    fake.calls.clear()
    fake.errors = [(Code.UNAVAILABLE, "queue full")] * 4
    assert error(Code.UNAVAILABLE, client.predict, [1]) == "queue full"
    assert (len(fake.calls), fake.errors) == (4, [])
    fake.errors = [(Code.RESOURCE_EXHAUSTED, "later")] * 2
    assert error(Code.RESOURCE_EXHAUSTED, client.predict, [1]) == "later"
    assert len(fake.errors) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_pause_goes_beyond_the_deadline(kind, fake, connect):
    client = connect(fake.target(kind), model="half_plus_two", retries=50)
    client.metadata()
    fake.errors = [(Code.UNAVAILABLE, "queue full")] * 50
    begin = time.monotonic()
    assert error(Code.UNAVAILABLE, client.predict, [1], timeout=0.5) == "queue full"
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline(kind, fake, connect):
    client = connect(fake.target(kind), model="half_plus_two")
    client.metadata()
    fake.delay = 0.6
    begin = time.monotonic()
    message = error(Code.DEADLINE_EXCEEDED, client.predict, [1], timeout=0.2)
    assert time.monotonic() - begin < 0.55
    assert message.startswith(f"no answer from {fake.target(kind)} within 0.")
    assert not client.ready(timeout=0.1)
    fake.delay = 0
    assert client.predict([1])["y"].tolist() == [4.5]


@pytest.mark.parametrize("target", ["127.0.0.1:{}", "grpc://127.0.0.1:{}", "http://127.0.0.1:{}"])
def test_nobody_there(target, free_port, connect):
    target = target.format(free_port)
    client = connect(target, model="m", retries=1)
    message = error(Code.UNAVAILABLE, client.predict, [1])
    assert message.startswith(f"cannot reach {target}: is it running? start one by `make serve` (")
    assert "refused" in message
    assert len(message.splitlines()) == 1
    assert not client.ready()


def test_a_server_that_comes_up_during_the_retries_answers(free_port, make_fake, connect):
    client = connect(f"127.0.0.1:{free_port}", model="half_plus_two", retries=8)
    assert not client.ready()
    make_fake(f"127.0.0.1:{free_port}")
    assert client.predict([1])["y"].tolist() == [4.5]


def test_a_connection_that_the_server_closed_is_replaced(free_port, make_fake, fake, connect):
    client = connect(fake.rest, model="half_plus_two", retries=0)
    client.predict([1])
    # What lies idle in the client is closed from this side, as a server does after a while.
    transport: Any = client._transport if isinstance(client, Client) else client._client._transport._transport
    transport._idle[0].sock.shutdown(2)
    assert client.predict([1])["y"].tolist() == [4.5]


def test_rest_bodies_that_are_no_answer(fake, connect, monkeypatch):
    client = connect(fake.rest, model="half_plus_two")
    client.metadata()
    for body, message in (
        (b"<html>", "the server's answer is no JSON"),
        (b"[]", "the server's answer has no outputs as wanted"),
        (b'{"outputs": [[1], 2]}', "the server's answer has no outputs as wanted"),
    ):
        monkeypatch.setattr(fake, "_rest", lambda path, body, answer=body: answer)
        assert message in error(Code.INTERNAL, client.predict, [1])


def test_complex_numbers_need_grpc(fake, connect):
    client = connect(fake.rest, model="types")
    message = error(Code.UNIMPLEMENTED, client.predict, {"c64": [1j]}, signature="c64")
    assert message == "input c64: JSON has no complex numbers; gRPC has"


def test_misuse_is_said_at_once(fake, connect):
    client = connect(fake.grpc)
    for options, message in (
        ({}, "which model?"),
        ({"model": "m", "version": 1, "label": "x"}, "version 1 and label 'x': one of them"),
        ({"model": "m", "version": -1}, "version: wanted 0 or more, given -1"),
        ({"model": "m", "timeout": 0}, "timeout: wanted seconds above 0, or None, given 0"),
    ):
        with pytest.raises(UsageError, match=message):
            client.predict([1], **options)
    assert fake.calls == []
    assert client.ready()  # the server, as no model is named


def test_a_closed_client_refuses(fake, connect):
    client = connect(fake.grpc, model="half_plus_two")
    client.predict([1])
    client.close()
    client.close()
    with pytest.raises(ValueError, match="is closed"):
        client.predict([1])


def test_both_clients_have_the_same_methods():
    def methods(kind):
        functions = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(one) for name, one in functions if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)
    assert inspect.signature(Client) == inspect.signature(AsyncClient)


def test_many_calls_at_once(fake):
    async def calls(target):
        async with AsyncClient(target, model="half_plus_two") as client:
            return await asyncio.gather(*(client.predict([n]) for n in range(50)))

    for kind in KINDS:
        answers = asyncio.run(calls(fake.target(kind)))
        assert [answer["y"].tolist() for answer in answers] == [[n * 0.5 + 4] for n in range(50)]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_a_client(kind, fake):
    with Client(fake.target(kind), model="half_plus_two") as client, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: client.predict([n])["y"].tolist(), range(100)))
    assert answers == [[n * 0.5 + 4] for n in range(100)]
