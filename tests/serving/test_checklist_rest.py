"""REST: the HTTP status of each code, and defaults of a signature."""

import json
from typing import Any

import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType
from serving import protos
from serving.handlers.settings import Settings
from serving.rest import predict_body
from serving.rest.face import RestFace, RestOptions
from serving.rest.http import Request, Response
from serving.rest.json_reader import parse
from serving.servable import Signature

HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INTERNAL: 500,
    Code.DATA_LOSS: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


class Failing:
    """Models that fail."""

    def __init__(self, code):
        self.code = code

    def lease_version(self, *_):
        raise StatusError(self.code, "so it is")


@pytest.mark.parametrize(("code", "status"), HTTP_STATUS.items())
def test_each_code_has_its_http_status(code, status):
    core: Any = Failing(code)
    face = RestFace(core, Settings(), RestOptions())
    response = face(Request("POST", "/v1/models/m:predict", {}, b'{"instances": [1]}'))
    assert isinstance(response, Response)
    assert (response.status, response.content_type) == (status, "application/json")
    assert json.loads(response.body) == {"error": "so it is"}


def test_every_code_is_listed():
    assert HTTP_STATUS.keys() | {Code.OK} == set(Code)


def test_a_default_of_the_signature_is_not_for_rest():
    definition = protos.meta_graph.SignatureDef()
    for alias in ("a", "b"):
        definition.inputs[alias].dtype = DataType.FLOAT
        definition.defaults[alias].dtype = DataType.FLOAT
        definition.defaults[alias].float_val.append(1)
    with pytest.raises(StatusError, match="Missing named input: b in 'inputs' object"):
        predict_body.inputs(parse(b'{"inputs": {"a": 1.0}}'), Signature(definition).infos)
