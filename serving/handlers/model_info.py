"""GetModelStatus and GetModelMetadata.

Source: get_model_status_impl.cc and get_model_metadata_impl.cc of TensorFlow Serving.
"""

from typing import Any

from contract.errors import Code, StatusError
from serving import protos
from serving.manager.core import ServerCore

__all__ = ["get_model_metadata", "get_model_status"]

_SIGNATURE_DEF = "signature_def"


def get_model_status(core: ServerCore, request: Any) -> Any:
    """Answers a ``GetModelStatusRequest``: one version, or all that were ever tracked; a label says nothing.

    Raises:
        StatusError: INVALID_ARGUMENT, NOT_FOUND.
    """
    if not request.HasField("model_spec"):
        raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    versions = core.states.of(spec.name)
    if spec.WhichOneof("version_choice") == "version":
        number = spec.version.value
        if number not in versions:
            raise StatusError(Code.NOT_FOUND, f"Could not find version {number} of model {spec.name}")
        versions = {number: versions[number]}
    if not versions:
        raise StatusError(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
    response = protos.get_model_status.GetModelStatusResponse()
    for number, state in versions.items():
        status = response.model_version_status.add()
        status.version = number
        status.state = state.state
        status.status.SetInParent()
        if state.error is not None:
            status.status.error_code = state.error.code
            status.status.error_message = state.error.message
    return response


def get_model_metadata(core: ServerCore, request: Any) -> Any:
    """Answers a ``GetModelMetadataRequest``.

    Raises:
        StatusError: INVALID_ARGUMENT, NOT_FOUND.
    """
    if not request.HasField("model_spec"):
        raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
    if not request.metadata_field:
        raise StatusError(Code.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != _SIGNATURE_DEF:
            raise StatusError(Code.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
    response = protos.get_model_metadata.GetModelMetadataResponse()
    signatures = protos.get_model_metadata.SignatureDefMap()
    with core.lease(request.model_spec) as lease:
        for name, signature in lease.servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature.definition)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = lease.version
    response.metadata[_SIGNATURE_DEF].Pack(signatures)
    return response
