"""gRPC: ``PredictionService`` and ``ModelService`` of tensorflow_serving/apis with the stock messages."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import grpc
from numpy.typing import NDArray

from contract.errors import Code, StatusError
from runtimes.session import one_line
from runtimes.tensorflow_protos import import_proto
from serving.client.examples import Features, to_example
from serving.client.face import Metadata, ModelRef, Predicted, Scores, VersionStatus
from serving.client.flow import Call
from serving.client.reach import too_late, unreachable
from serving.client.signature import INIT_OP, Border, Signature, describe
from serving.client.target import Target, Tls
from serving.client.tensors import from_wire, to_wire

__all__ = ["AioTransport", "GrpcFace", "GrpcTransport", "Rpc"]

_MAX_BYTES = 2**31 - 1
"""The largest message of protocol buffers."""

_MAX_MESSAGE_SLACK = 2**16
"""Room for names and shapes beside the values."""

_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_BYTES),
    ("grpc.max_send_message_length", _MAX_BYTES),
    # A client of its own connects anew, soon enough for its retries to find a server that has come up.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)

_NOT_REACHED = ("connect", "dns", "name resolution", "address", "socket", "handshake", "goaway", "recvmsg", "endpoint")
"""gRPC does not say whether UNAVAILABLE came over the wire: these words are in its own texts."""


class Rpc(NamedTuple):
    """A call that goes out."""

    path: str
    request: Any
    response: Any


class GrpcFace:
    """Builds requests and reads responses."""

    def metadata(self, ref: ModelRef) -> Call[Metadata]:
        """The signatures."""
        pb = _apis("get_model_metadata")
        request = pb.GetModelMetadataRequest(model_spec=_spec(ref), metadata_field=["signature_def"])

        def parse(response: Any) -> Metadata:
            found = pb.SignatureDefMap.FromString(response.metadata["signature_def"].value).signature_def
            return Metadata(_version(response), {name: _signature(found[name]) for name in found if name != INIT_OP})

        return Call(_prediction("GetModelMetadata", request, pb.GetModelMetadataResponse), parse)

    def predict(
        self, ref: ModelRef, name: str, signature: Signature, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> Call[Predicted]:
        """Runs a signature.

        Raises:
            StatusError: RESOURCE_EXHAUSTED: no message can hold the inputs.
        """
        size = sum(array.nbytes for array in inputs.values())
        if size > _MAX_BYTES - _MAX_MESSAGE_SLACK:
            raise StatusError(Code.RESOURCE_EXHAUSTED, f"the inputs are {size} bytes; a message holds {_MAX_BYTES}")
        pb = _apis("predict")
        request = pb.PredictRequest(model_spec=_spec(ref, name), output_filter=outputs)
        for alias, array in inputs.items():
            to_wire(array, signature.types[alias], request.inputs[alias])

        def parse(response: Any) -> Predicted:
            arrays = {alias: from_wire(alias, response.outputs[alias]) for alias in sorted(response.outputs)}
            return Predicted(arrays, _version(response))

        return Call(_prediction("Predict", request, pb.PredictResponse), parse)

    def classify(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[Scores]:
        """Classifies."""
        pb = _apis("classification")
        request = pb.ClassificationRequest(model_spec=_spec(ref, name))
        _fill(request, examples)

        def parse(response: Any) -> Scores:
            return [[(one.label, one.score) for one in row.classes] for row in response.result.classifications]

        return Call(_prediction("Classify", request, pb.ClassificationResponse), parse)

    def regress(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[list[float]]:
        """Regresses."""
        pb = _apis("regression")
        request = pb.RegressionRequest(model_spec=_spec(ref, name))
        _fill(request, examples)

        def parse(response: Any) -> list[float]:
            return [one.value for one in response.result.regressions]

        return Call(_prediction("Regress", request, pb.RegressionResponse), parse)

    def status(self, ref: ModelRef) -> Call[list[VersionStatus]]:
        """The versions."""
        pb = _apis("get_model_status")
        request = pb.GetModelStatusRequest(model_spec=_spec(ref))

        def parse(response: Any) -> list[VersionStatus]:
            states = pb.ModelVersionStatus.State.Name
            return [
                VersionStatus(one.version, states(one.state), _code(one.status.error_code), one.status.error_message)
                for one in response.model_version_status
            ]

        return Call(Rpc("/tensorflow.serving.ModelService/GetModelStatus", request, pb.GetModelStatusResponse), parse)


@cache
def _apis(name: str) -> Any:
    """A module of messages; `import_proto` looks for TensorFlow's folder each time."""
    return import_proto(f"tensorflow_serving.apis.{name}_pb2")


def _prediction(method: str, request: Any, response: Any) -> Rpc:
    return Rpc(f"/tensorflow.serving.PredictionService/{method}", request, response)


def _spec(ref: ModelRef, signature: str = "") -> Any:
    spec = _apis("model").ModelSpec(name=ref.name, signature_name=signature)
    if ref.version is not None:
        spec.version.value = ref.version
    elif ref.label is not None:
        spec.version_label = ref.label
    return spec


def _version(response: Any) -> int | None:
    spec = response.model_spec
    return int(spec.version.value) if spec.HasField("version") else None


def _signature(found: Any) -> Signature:
    inputs = {name: _border(found.inputs[name]) for name in found.inputs}
    outputs = {name: _border(found.outputs[name]) for name in found.outputs}
    return describe(inputs, outputs, method=found.method_name, optional=frozenset(found.defaults))


def _border(info: Any) -> Border:
    shape = info.tensor_shape
    return info.dtype, None if shape.unknown_rank else [dim.size for dim in shape.dim]


def _fill(request: Any, examples: Sequence[Features]) -> None:
    request.input.example_list.SetInParent()
    for features in examples:
        to_example(features, request.input.example_list.examples.add())


def _code(number: int) -> Code:
    return Code(number) if number in set(Code) else Code.UNKNOWN


class _Channel:
    """What both kinds of channel need."""

    def __init__(self, target: Target, tls: Tls | None, token: str | None) -> None:
        self.target = target
        self.metadata = (("authorization", f"Bearer {token}"),) if token is not None else None
        self.options: list[tuple[str, Any]] = list(_OPTIONS)
        self.credentials = None
        if tls is not None:
            roots, key, chain = map(tls.read, (tls.root_certificates, tls.key, tls.certificate))
            self.credentials = grpc.ssl_channel_credentials(roots, key, chain)
            if tls.server_name is not None:
                self.options.append(("grpc.ssl_target_name_override", tls.server_name))

    def open(self, library: Any) -> Any:
        """Opens a channel of ``grpc`` or ``grpc.aio``."""
        if self.credentials is None:
            return library.insecure_channel(self.target.address, options=self.options)
        return library.secure_channel(self.target.address, self.credentials, options=self.options)

    def error(self, err: Any, timeout: float | None) -> StatusError:
        """The error of a call as ours."""
        code, details = Code(err.code().value[0]), err.details() or ""
        if code is Code.UNAVAILABLE and any(word in details.lower() for word in _NOT_REACHED):
            return unreachable(self.target.text, one_line(details))
        if code is Code.DEADLINE_EXCEEDED and details in {"", "Deadline Exceeded"}:
            return too_late(self.target.text, timeout)
        return StatusError(code, details)


def _method(channel: Any, rpc: Rpc) -> Any:
    serialize, parse = type(rpc.request).SerializeToString, rpc.response.FromString
    return channel.unary_unary(rpc.path, request_serializer=serialize, response_deserializer=parse)


class GrpcTransport:
    """A channel for threads."""

    def __init__(self, target: Target, tls: Tls | None, token: str | None) -> None:
        self._settings = _Channel(target, tls, token)
        self._channel = self._settings.open(grpc)
        self._methods: dict[str, Any] = {}

    def send(self, payload: Rpc, timeout: float | None) -> Any:
        """Sends and waits for the answer: see `Transport.send`."""
        method = self._methods.get(payload.path)
        if method is None:
            method = self._methods[payload.path] = _method(self._channel, payload)
        try:
            return method(payload.request, timeout=timeout, metadata=self._settings.metadata)
        except grpc.RpcError as err:
            raise self._settings.error(err, timeout) from err

    def close(self) -> None:
        """Ends all connections."""
        self._channel.close()


class AioTransport:
    """A channel for the event loop that runs when it is made."""

    def __init__(self, target: Target, tls: Tls | None, token: str | None) -> None:
        from grpc import aio

        self._settings = _Channel(target, tls, token)
        self._channel = self._settings.open(aio)
        self._methods: dict[str, Any] = {}

    async def send(self, payload: Rpc, timeout: float | None) -> Any:  # noqa: ASYNC109 - becomes the wire's deadline
        """Sends and waits for the answer: see `Transport.send`."""
        method = self._methods.get(payload.path)
        if method is None:
            method = self._methods[payload.path] = _method(self._channel, payload)
        try:
            return await method(payload.request, timeout=timeout, metadata=self._settings.metadata)
        except grpc.RpcError as err:
            raise self._settings.error(err, timeout) from err

    async def close(self) -> None:
        """Ends all connections."""
        await self._channel.close()
