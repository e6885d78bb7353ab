"""Real clients: a gRPC channel with the stock messages, and HTTP connections that alter neither path nor headers."""

import base64
import contextlib
import functools
import http.client
from typing import Any

import grpc
from google.protobuf import json_format

from runtimes.tensorflow_protos import import_proto
from tests.serving.golden.recorded import Json

__all__ = ["Client"]

_TIMEOUT_S = 60
"""How long a call may take that has no timeout of its own; only a failing one does."""

_PREDICTION, _MODEL = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"

_METHODS = {
    _PREDICTION + "Predict": ("predict", "Predict"),
    _PREDICTION + "Classify": ("classification", "Classification"),
    _PREDICTION + "Regress": ("regression", "Regression"),
    _PREDICTION + "MultiInference": ("inference", "MultiInference"),
    _PREDICTION + "GetModelMetadata": ("get_model_metadata", "GetModelMetadata"),
    _MODEL + "GetModelStatus": ("get_model_status", "GetModelStatus"),
    _MODEL + "HandleReloadConfigRequest": ("model_management", "ReloadConfig"),
    "/tensorflow.serving.SessionService/SessionRun": ("session_service", "SessionRun"),
}
"""By method, the file of its messages and what their names begin with."""

_FULL_NAMES: dict[str, str] = {
    "Health": "/grpc.health.v1.Health/Check",
    **{name.rpartition("/")[2]: name for name in _METHODS},
}

_COMPRESSIONS: dict[str | None, Any] = {None: None, "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


@functools.cache
def _messages() -> dict[str, tuple[Any, Any]]:
    """The classes of request and response by method: all of them, because one may be inside another's Any."""
    modules = {method: import_proto(f"tensorflow_serving.apis.{file}_pb2") for method, (file, _) in _METHODS.items()}
    return {
        method: (getattr(modules[method], f"{name}Request"), getattr(modules[method], f"{name}Response"))
        for method, (_, name) in _METHODS.items()
    }


class Client:
    """Asks one server. Threads may share it."""

    def __init__(self, grpc_port: int, rest_port: int) -> None:
        """Makes a channel, which connects with the first call."""
        self._rest_port = rest_port
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),  # a port may have had another server before
        ]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}", options=options)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def ask(self, call: Json) -> Json:
        """The answer to a case or a step whose placeholders are filled in, in the form of what it expects."""
        return self._rest(call["rest"]) if "rest" in call else self._grpc(call["grpc"])

    def _rest(self, call: Json) -> Json:
        body: bytes | None = None
        if "body_b64" in call:
            body = base64.b64decode(call["body_b64"])
        elif "body" in call:
            body = call["body"].encode()
        headers = {} if body is None else {"Content-Length": str(len(body))}
        connection = http.client.HTTPConnection("127.0.0.1", self._rest_port, timeout=_TIMEOUT_S)
        with contextlib.closing(connection):
            try:
                connection.putrequest(call["method"], call["path"], skip_accept_encoding=True)
                for name, value in {**headers, **call.get("headers", {})}.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                with connection.getresponse() as response:
                    data = response.read()
            except (OSError, http.client.HTTPException) as err:
                return {"failed": repr(err)}
        answer: Json = {"status": response.status, "content_type": response.getheader("Content-Type")}
        if wanted := call.get("want_headers"):
            answer["headers"] = {name: response.getheader(name) for name in wanted}
        try:
            return {**answer, "body": data.decode()}
        except UnicodeDecodeError:
            return {**answer, "body_b64": base64.b64encode(data).decode()}

    def _grpc(self, call: Json) -> Json:
        name: str = call["method"]
        method = _FULL_NAMES.get(name, name)
        messages = _messages().get(method)
        if messages and "request" in call:
            message = json_format.ParseDict(call["request"], messages[0]())
            request = message.SerializeToString(deterministic=True)
        else:
            request = base64.b64decode(call["request_b64"])
        rpc = self._channel.unary_unary(method, None, messages[1].FromString if messages else None)
        try:
            response = rpc(
                request,
                timeout=call.get("timeout", _TIMEOUT_S),
                compression=_COMPRESSIONS[call.get("compression")],
            )
        except grpc.RpcError as err:
            return {"code": err.code().name, "message": err.details() or ""}
        answer: Json = {"code": "OK", "message": ""}
        if messages:
            return {**answer, "response": json_format.MessageToDict(response, preserving_proto_field_name=True)}
        return {**answer, "response_b64": base64.b64encode(response).decode()}
