"""GetModelStatus and GetModelMetadata of a fake core."""

from dataclasses import dataclass
from typing import Any

import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType
from serving import protos
from serving.handlers.model_info import get_model_metadata, get_model_status
from serving.manager.states import State, States


@dataclass
class FakeCore:
    """What the handlers ask of a core."""

    states: States
    models: Any

    def lease(self, spec):
        return self.models.lease(spec)


@pytest.fixture
def core(models, sign):
    inputs = {"x": DataType.FLOAT}
    found = FakeCore(
        States(), models(serving_default=sign(inputs, ["y"]), other=sign(inputs, ["z"], defaults={"x": 1}))
    )
    found.states.set("m", 1, State.END, StatusError(Code.DATA_LOSS, "broken"))
    found.states.set("m", 3, State.AVAILABLE)
    found.states.set("m", 2, State.UNLOADING)
    return found


def status_of(core, version=None, label=None, name="m"):
    request = protos.get_model_status.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    response = get_model_status(core, request)
    assert all(one.HasField("status") for one in response.model_version_status)
    return [
        (one.version, one.state, one.status.error_code, one.status.error_message)
        for one in response.model_version_status
    ]


ALL = [(3, State.AVAILABLE, 0, ""), (2, State.UNLOADING, 0, ""), (1, State.END, 15, "broken")]


def test_status_of_all_versions_highest_first(core):
    assert status_of(core) == ALL
    assert status_of(core, label="whatever") == ALL


def test_status_of_one_version(core):
    assert status_of(core, 1) == ALL[2:]


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ({"version": 9}, Code.NOT_FOUND, "Could not find version 9 of model m"),
        ({"version": 0}, Code.NOT_FOUND, "Could not find version 0 of model m"),
        ({"name": "x"}, Code.NOT_FOUND, "Could not find any versions of model x"),
        ({"name": ""}, Code.NOT_FOUND, "Could not find any versions of model "),
        ({"name": "x", "version": 1}, Code.NOT_FOUND, "Could not find version 1 of model x"),
    ],
)
def test_status_of_what_is_not_there(core, refused, asked, code, message):
    assert refused(lambda: status_of(core, **asked)) == (code, message)


def metadata_of(core, *fields, name="m"):
    request = protos.get_model_metadata.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    return get_model_metadata(core, request)


def test_metadata_has_all_signatures(core):
    response = metadata_of(core, "signature_def")
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 7)
    assert list(response.metadata) == ["signature_def"]
    signatures = protos.get_model_metadata.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    wanted = {name: signature.definition for name, signature in core.models.servable.signatures.items()}
    assert dict(signatures.signature_def) == wanted
    assert metadata_of(core, "signature_def", "signature_def") == response
    assert core.models.in_use == 0


@pytest.mark.parametrize(
    ("fields", "name", "code", "message"),
    [
        ([], "m", Code.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"),
        (["x"], "m", Code.INVALID_ARGUMENT, "Metadata field x is not supported"),
        (["signature_def", ""], "m", Code.INVALID_ARGUMENT, "Metadata field  is not supported"),
        (["signature_def"], "x", Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
    ],
)
def test_metadata_that_is_refused(core, refused, fields, name, code, message):
    assert refused(lambda: metadata_of(core, *fields, name=name)) == (code, message)


def test_requests_without_a_model(core, refused):
    wanted = (Code.INVALID_ARGUMENT, "Missing ModelSpec")
    assert refused(lambda: get_model_status(core, protos.get_model_status.GetModelStatusRequest())) == wanted
    assert refused(lambda: get_model_metadata(core, protos.get_model_metadata.GetModelMetadataRequest())) == wanted
