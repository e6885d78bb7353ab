"""The recorded REST bodies, as far as they need no model: requests into tensors, tensors into replies, errors."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import StatusError
from runtimes.tensorflow_protos import import_proto
from serving.rest import examples_body, predict_body, status_body
from serving.rest.json_exact import parse_exactly
from serving.rest.json_reader import parse
from serving.rest.json_tensor import fill, to_tensor
from serving.rest.json_values import to_bytes
from serving.rest.json_writer import error_body

GOLDEN = Path(__file__).parents[2] / "golden" / "tf_serving"
FILES = ("rest_predict", "rest_examples", "rest_paths", "batching", "monitoring")
TOO_DEEP = {"rest_predict-107"}  # 71 dimensions; numpy has 32
ELSEWHERE = ("Malformed request", "Serv", "No ", "Expected", "Tensors class", "Input batch", "Task size", "Timed out")


def body_of(part):
    text = part.get("body")
    return base64.b64decode(part.get("body_b64", "")) if text is None else text.encode()


def recorded(*files: str) -> Iterator[dict[str, Any]]:
    for file in files:
        for line in (GOLDEN / "cases" / f"{file}.jsonl").read_text().splitlines():
            case = json.loads(line)
            if (
                "rest" in case
                and not case.get("runtime_text")
                and "Content-Encoding" not in case["rest"].get("headers", {})
            ):
                yield case


def model_and_verb(case):
    path, _, verb = case["rest"]["path"].partition(":")
    return path.split("/")[3], verb


def is_call(case):
    path = case["rest"]["path"]
    return path.startswith("/v1/models/") and path.endswith((":predict", ":classify", ":regress"))


def parameters(found):
    return [pytest.param(case, id=case["id"]) for case in found]


CALLS = [case for case in recorded(*FILES) if case["rest"]["method"] == "POST" and is_call(case)]
METADATA = [
    case
    for case in recorded("rest_paths")
    if case["rest"]["path"].endswith("/metadata") and case["expect"]["status"] == 200
]
STATUS = [case for case in recorded("rest_paths") if "model_version_status" in case["expect"].get("body", "")]


@pytest.fixture(scope="module")
def signatures():
    saved_model = import_proto("tensorflow.core.protobuf.saved_model_pb2").SavedModel
    found = {}
    for path in sorted((GOLDEN / "models").glob("*/*/saved_model.pb")):
        if path.parts[-3] != "broken":
            model = saved_model.FromString(path.read_bytes())
            found[path.parts[-3]] = model.meta_graphs[0].signature_def
    return found


def read(verb, body, signature_defs):
    """The format of the request, its input, and the signature; what belongs to other modules is skipped."""
    document = parse(body)
    name = predict_body.signature_name(document) or "serving_default"
    if verb != "predict":
        return None, examples_body.examples(document), None
    if name not in signature_defs or not signature_defs[name].inputs:
        pytest.skip("refused before the inputs are read")
    signature = signature_defs[name]
    return *predict_body.inputs(document, signature.inputs), signature


def read_or_refusal(verb, body, signature_defs):
    """What `read` answers, None for what raised; and the error."""
    try:
        return read(verb, body, signature_defs), None
    except StatusError as error:
        return None, error


@pytest.mark.parametrize("case", parameters(CALLS))
def test_recorded_call(case, signatures):
    model, verb = model_and_verb(case)
    want = case["expect"]
    if model not in signatures:
        pytest.skip("no such model")
    found, error = read_or_refusal(verb, body_of(case["rest"]), signatures[model])
    if case["id"] in TOO_DEEP:
        assert "more than 32 dimensions" in error.message
    elif error:
        assert error_body(error.message) == body_of(want)
        assert want["status"] == {3: 400, 12: 501}[error.code]
    elif want["status"] == 200:
        layout, _, signature = found
        assert written_again(layout, signature, verb, body_of(want)) == body_of(want)
    elif not json.loads(body_of(want) or b'{"error": "Serv"}')["error"].startswith(ELSEWHERE):
        layout, _, signature = found
        with pytest.raises(StatusError) as caught:
            predict_body.outputs(layout, odd_outputs(case["id"], signature))
        if not case.get("varies"):
            assert error_body(caught.value.message) == body_of(want)


def odd_outputs(identifier: str, signature: Any) -> dict[str, Any]:
    """Outputs that cannot be written, of the shapes that the models give."""
    shape: dict[str, tuple[int, ...]] = {"p": (2,), "q": (4,)}
    if identifier == "rest_predict-194":
        shape = {"y": ()}
    elif identifier == "rest_predict-196":
        shape = {"y": (2,), "t": ()}
    elif "p" not in signature.outputs:
        shape = {}
    tensors = {}
    for name, info in signature.outputs.items():
        of = shape.get(name, (1,))
        tensors[name] = to_tensor(of, [0] * (of[0] if of else 1), info.dtype)
    return tensors


def written_again(layout, signature, verb, body):
    root = parse_exactly(body)
    if verb == "regress":
        return examples_body.regressions(
            SimpleNamespace(regressions=[SimpleNamespace(value=value) for value in root["results"]])
        )
    if verb == "classify":
        rows = [[(to_bytes(label), score) for label, score in row] for row in root["results"]]
        return examples_body.classifications(rows)
    if layout is predict_body.Format.ROW:
        values = root["predictions"]
        if len(signature.outputs) > 1:
            values = {name: [row[name] for row in values] for name in values[0]}
    else:
        values = root["outputs"]
    if len(signature.outputs) == 1:
        values = dict.fromkeys(signature.outputs, values)
    tensors = {}
    for name, value in values.items():
        dtype = signature.outputs[name].dtype
        tensors[name] = to_tensor(*fill(value, dtype), dtype)
    return predict_body.outputs(layout, tensors)


@pytest.mark.parametrize("case", parameters(METADATA))
def test_recorded_metadata(case, signatures):
    parts = case["rest"]["path"].split("/")
    model = parts[3]
    version = parse_exactly(body_of(case["expect"]))["model_spec"]["version"]
    folder = next(path for path in (GOLDEN / "models" / model).iterdir() if path.name.lstrip("0") == version)
    saved_model = import_proto("tensorflow.core.protobuf.saved_model_pb2").SavedModel
    apis = import_proto("tensorflow_serving.apis.get_model_metadata_pb2")
    definitions = saved_model.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].signature_def
    response = apis.GetModelMetadataResponse()
    response.model_spec.name = model
    response.model_spec.version.value = int(version)
    signature_map = apis.SignatureDefMap()
    for name, definition in definitions.items():
        signature_map.signature_def[name].CopyFrom(definition)
    response.metadata["signature_def"].Pack(signature_map)
    got, want = status_body.metadata(response), body_of(case["expect"])
    assert json.loads(got) == json.loads(want)
    assert sorted(got.replace(b",\n", b"\n").splitlines()) == sorted(want.replace(b",\n", b"\n").splitlines())


@pytest.mark.parametrize("case", parameters(STATUS))
def test_recorded_status(case):
    want = body_of(case["expect"])
    response = import_proto("tensorflow_serving.apis.get_model_status_pb2").GetModelStatusResponse()
    for entry in json.loads(want)["model_version_status"]:
        status = response.model_version_status.add(version=int(entry["version"]))
        status.state = status.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_name[entry["state"]].number
        status.status.SetInParent()
    assert status_body.model_status(response) == want
