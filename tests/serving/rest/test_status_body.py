"""Status and metadata: protobuf's own layout."""

import json

from runtimes.tensorflow_protos import import_proto
from serving.rest import status_body


def test_status():
    response = import_proto("tensorflow_serving.apis.get_model_status_pb2").GetModelStatusResponse()
    assert status_body.model_status(response) == b'{\n "model_version_status": []\n}\n'
    status = response.model_version_status.add(version=7, state=50)
    status.status.error_code = 5
    status.status.error_message = 'no <file> "é"\n\u2028'
    assert status_body.model_status(response).decode() == (
        '{\n "model_version_status": [\n  {\n   "version": "7",\n   "state": "END",\n   "status": {\n'
        '    "error_code": "NOT_FOUND",\n'
        '    "error_message": "no \\u003cfile\\u003e \\"é\\"\\n\\u2028"\n   }\n  }\n ]\n}\n'
    )


def test_metadata():
    apis = import_proto("tensorflow_serving.apis.get_model_metadata_pb2")
    response = apis.GetModelMetadataResponse()
    response.model_spec.name = "m"
    signatures = apis.SignatureDefMap()
    value = signatures.signature_def["s"].defaults["x"]
    value.float_val.extend([0.1, 10, float("inf")])
    value.tensor_content = b"\xff"
    response.metadata["signature_def"].Pack(signatures)
    body = status_body.metadata(response)
    assert body.startswith(
        b'{\n"model_spec":{\n "name": "m",\n "signature_name": ""\n}\n,\n"metadata": {"signature_def": {\n'
    )
    read = json.loads(body)["metadata"]["signature_def"]["signature_def"]["s"]
    assert read["inputs"] == {}
    assert read["defaults"]["x"]["float_val"] == [0.1, 10, "Infinity"]
    assert read["defaults"]["x"]["tensor_content"] == "/w=="
