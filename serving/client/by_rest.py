"""REST: ``/v1/models/...`` in the column form, which takes every shape.

No HTTP library is a dependency of the project, so this is the standard library's ``http.client``; `AsyncClient` runs it
in threads.
"""

import base64
import http.client
import json
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import orjson
from numpy.typing import NDArray

from contract.errors import Code, StatusError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes.session import ANY_RANK, one_line
from runtimes.tensor import DataType
from serving.client.examples import Features, json_example
from serving.client.face import Arrays, Metadata, ModelRef, Predicted, Scores, VersionStatus
from serving.client.flow import Call
from serving.client.reach import too_late, unreachable
from serving.client.signature import INIT_OP, Border, Signature, describe
from serving.client.target import Target, Tls
from serving.client.tensors import numpy_type

__all__ = ["Request", "RestFace", "RestTransport"]

_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    408: Code.DEADLINE_EXCEEDED,
    409: Code.ABORTED,
    413: Code.RESOURCE_EXHAUSTED,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
"""The canonical code that an HTTP status was most likely made from; one status stands for up to three codes."""

_CHUNK = 1 << 20


class Request(NamedTuple):
    """A request that goes out; ``body`` is JSON, or None for GET."""

    path: str
    body: bytes | None = None


class RestFace:
    """Builds requests and reads responses."""

    def metadata(self, ref: ModelRef) -> Call[Metadata]:
        """The signatures."""

        def parse(body: bytes) -> Metadata:
            answer = _json(body)
            try:
                found = answer["metadata"]["signature_def"]["signature_def"]
                version = answer["model_spec"].get("version")
                return Metadata(
                    int(version) if version else None,
                    {name: _signature(fields) for name, fields in found.items() if name != INIT_OP},
                )
            except (KeyError, TypeError, ValueError, AttributeError) as err:
                raise _not_understood("metadata", err) from err

        return Call(Request(f"{_path(ref)}/metadata"), parse)

    def predict(
        self, ref: ModelRef, name: str, signature: Signature, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> Call[Predicted]:
        """Runs a signature; the server gives all outputs, and those that were not asked for are dropped.

        Raises:
            StatusError: UNIMPLEMENTED: JSON has no complex numbers.
        """
        body = _body({"signature_name": name}, inputs)

        def parse(answer: bytes) -> Predicted:
            fields = _json(answer)
            try:
                arrays = _outputs(fields["outputs"], signature.outputs)
            except (KeyError, TypeError, ValueError, OverflowError) as err:
                raise _not_understood("outputs", err) from err
            return Predicted({alias: arrays[alias] for alias in outputs or arrays}, None)

        return Call(Request(f"{_path(ref)}:predict", body), parse)

    def classify(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[Scores]:
        """Classifies."""

        def parse(body: bytes) -> Scores:
            try:
                return [[(str(label), _float32(score)) for label, score in row] for row in _json(body)["results"]]
            except (KeyError, TypeError, ValueError) as err:
                raise _not_understood("results", err) from err

        return Call(Request(f"{_path(ref)}:classify", _example_body(name, examples)), parse)

    def regress(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[list[float]]:
        """Regresses."""

        def parse(body: bytes) -> list[float]:
            try:
                return [_float32(value) for value in _json(body)["results"]]
            except (KeyError, TypeError, ValueError) as err:
                raise _not_understood("results", err) from err

        return Call(Request(f"{_path(ref)}:regress", _example_body(name, examples)), parse)

    def status(self, ref: ModelRef) -> Call[list[VersionStatus]]:
        """The versions."""

        def parse(body: bytes) -> list[VersionStatus]:
            try:
                return [_version_status(fields) for fields in _json(body)["model_version_status"]]
            except (KeyError, TypeError, ValueError) as err:
                raise _not_understood("model_version_status", err) from err

        return Call(Request(_path(ref)), parse)


def _path(ref: ModelRef) -> str:
    path = f"/v1/models/{quote(ref.name, safe='')}"
    if ref.version is not None:
        return f"{path}/versions/{ref.version}"
    return path if ref.label is None else f"{path}/labels/{quote(ref.label, safe='')}"


def _not_understood(what: str, err: Exception) -> StatusError:
    return StatusError(Code.INTERNAL, f"the server's answer has no {what} as wanted: {type(err).__name__}: {err}")


def _json(body: bytes) -> Any:
    """Reads an answer; strings that are no UTF-8 keep their bytes as surrogates, and NaN is a number."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"))
    except ValueError as err:
        raise StatusError(Code.INTERNAL, f"the server's answer is no JSON: {err}") from err


def _body(fields: Mapping[str, Any], inputs: Mapping[str, NDArray[Any]]) -> bytes:
    """A request with its inputs: orjson writes arrays as they lie, but NaN and infinity as null."""
    arrays = {name: array.astype(np.float32) if array.dtype.kind == "V" else array for name, array in inputs.items()}
    if found := [name for name, array in arrays.items() if array.dtype.kind == "c"]:
        raise StatusError(Code.UNIMPLEMENTED, f"input {found[0]}: JSON has no complex numbers; gRPC has")
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in arrays.values()):
        columns = {
            name: array if array.ndim and array.dtype.kind != "O" else _nested(array) for name, array in arrays.items()
        }
        return orjson.dumps({**fields, "inputs": columns}, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps({**fields, "inputs": {name: _nested(array) for name, array in arrays.items()}}).encode()


def _nested(array: NDArray[Any]) -> Any:
    if array.dtype.kind != "O":
        return array.tolist()
    boxes = np.empty(array.size, object)
    boxes[:] = [{"b64": base64.b64encode(item).decode()} for item in array.ravel().tolist()]
    return boxes.reshape(array.shape).tolist()


def _outputs(answer: Any, specs: Sequence[TensorSpec]) -> Arrays:
    """The outputs; the only one of a signature comes without its name."""
    if len(specs) == 1:
        return {specs[0].name: _array(answer, specs[0])}
    return {spec.name: _array(answer[spec.name], spec) for spec in specs}


def _array(value: Any, spec: TensorSpec) -> NDArray[Any]:
    wanted = numpy_type(spec.dtype)
    if wanted is None:
        raise ValueError(f"no array holds {spec}")
    if wanted.kind == "O":
        array = np.array(value, dtype=object)
        flat = np.empty(array.size, object)
        flat[:] = [_bytes(item) for item in array.ravel().tolist()]
        array = flat.reshape(array.shape)
    else:
        # Of bfloat16 there are no JSON numbers but through a wider float.
        array = np.array(value, np.float32 if wanted.kind == "V" else wanted).astype(wanted)
    if not array.size and spec.shape != ANY_RANK and array.ndim < len(spec.shape):
        # An empty list hides the axes behind it.
        behind = [axis if isinstance(axis, int) else 0 for axis in spec.shape[array.ndim :]]
        array = array.reshape(*array.shape, *behind)
    return array


def _bytes(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogateescape")
    return base64.b64decode(item["b64"])


def _example_body(name: str, examples: Sequence[Features]) -> bytes:
    fields = {"signature_name": name, "examples": [json_example(features) for features in examples]}
    return json.dumps(fields).encode()


def _float32(value: Any) -> float:
    """The number that gRPC would have brought."""
    return float(np.float32(value))


def _version_status(fields: Mapping[str, Any]) -> VersionStatus:
    status = fields.get("status", {})
    name = status.get("error_code", "OK")
    code = Code[name] if name in Code.__members__ else Code.UNKNOWN
    return VersionStatus(int(fields["version"]), fields["state"], code, status.get("error_message", ""))


def _signature(fields: Mapping[str, Any]) -> Signature:
    inputs, outputs = (
        {name: _border(info) for name, info in (fields.get(side) or {}).items()} for side in ("inputs", "outputs")
    )
    optional = frozenset(fields.get("defaults") or {})
    return describe(inputs, outputs, method=fields.get("method_name", ""), optional=optional)


def _border(info: Mapping[str, Any]) -> Border:
    name = str(info.get("dtype", "")).removeprefix("DT_")
    code = DataType[name] if name in DataType.__members__ else DataType.INVALID
    shape = info.get("tensor_shape") or {}
    return code, None if shape.get("unknown_rank") else [int(dim.get("size", 0)) for dim in shape.get("dim") or ()]


class RestTransport:
    """Connections that are kept open; each is used by one thread at a time."""

    def __init__(self, target: Target, tls: Tls | None, token: str | None) -> None:
        """Reads the certificates; connects to nothing yet.

        Raises:
            UsageError: a file of ``tls`` cannot be used.
        """
        self._target = target
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._context = _context(tls) if target.is_https else None
        self._server_name = tls.server_name if tls is not None else None
        self._idle: deque[http.client.HTTPConnection] = deque()

    def send(self, payload: Request, timeout: float | None) -> bytes:
        """Sends and waits for the body of the answer: see `Transport.send`."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        try:
            status, reason, body = self._exchange(payload, end)
        except TimeoutError as err:
            raise too_late(self._target.text, timeout) from err
        except (OSError, http.client.IncompleteRead, http.client.RemoteDisconnected) as err:
            raise unreachable(self._target.text, one_line(err) or type(err).__name__) from err
        except http.client.HTTPException as err:
            reason = f"{self._target.text} does not answer as HTTP does: {type(err).__name__}: {one_line(err)}"
            raise StatusError(Code.INTERNAL, reason) from err
        if status != http.client.OK:
            raise StatusError(_CODES.get(status, Code.UNKNOWN), _message(body) or f"HTTP {status} {reason}")
        return body

    def close(self) -> None:
        """Ends all connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _exchange(self, request: Request, end: float) -> tuple[int, str, bytes]:
        """One request. A connection that the server has closed while it was idle is replaced by a fresh one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._answer(self._fresh(), request, end)
        try:
            return self._answer(connection, request, end)
        except (ConnectionResetError, BrokenPipeError):  # http.client.RemoteDisconnected among them
            return self._answer(self._fresh(), request, end)

    def _answer(self, connection: http.client.HTTPConnection, request: Request, end: float) -> tuple[int, str, bytes]:
        is_reusable = False
        try:
            _limit(connection, end)
            path = f"{self._target.prefix}{request.path}"
            method = "GET" if request.body is None else "POST"
            headers = {**self._headers, **({} if request.body is None else {"Content-Type": "application/json"})}
            connection.request(method, path, request.body, headers)
            _limit(connection, end)
            with connection.getresponse() as response:
                chunks = []
                while chunk := response.read1(_CHUNK):
                    chunks.append(chunk)
                    _limit(connection, end)
                if response.length:  # read1 is silent where the server ends before its own Content-Length
                    raise http.client.IncompleteRead(b"".join(chunks), response.length)
                is_reusable = not response.will_close
            return response.status, response.reason, b"".join(chunks)
        finally:
            if is_reusable:
                self._idle.append(connection)
            else:
                connection.close()

    def _fresh(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._target.address)
        return _Https(self._target.address, self._context, self._server_name)


class _Https(http.client.HTTPSConnection):
    """HTTPS to a server that shows a name of its own."""

    def __init__(self, address: str, context: ssl.SSLContext, server_name: str | None) -> None:
        super().__init__(address, context=context)
        self._encryption, self._server_name = context, server_name

    def connect(self) -> None:
        """Connects and checks the certificate."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._encryption.wrap_socket(self.sock, server_hostname=self._server_name or self.host)


def _context(tls: Tls | None) -> ssl.SSLContext:
    roots = tls.read(tls.root_certificates) if tls is not None else None
    try:
        context = ssl.create_default_context(cadata=None if roots is None else roots.decode())
        if tls is not None and tls.certificate is not None and tls.key is not None:
            tls.read(tls.certificate)
            tls.read(tls.key)
            context.load_cert_chain(tls.certificate, tls.key)
    except (ssl.SSLError, ValueError) as err:
        raise UsageError(f"tls: no certificate or key in PEM: {one_line(err)}") from err
    return context


def _limit(connection: http.client.HTTPConnection, end: float) -> None:
    """Lets the connection wait no longer than to the end of the call."""
    left = None if end == math.inf else end - time.monotonic()
    if left is not None and left <= 0:
        raise TimeoutError
    connection.timeout = left
    if isinstance(connection.sock, socket.socket):
        connection.sock.settimeout(left)


def _message(body: bytes) -> str:
    """The text of an error in TF Serving's form."""
    try:
        fields = json.loads(body.decode("utf-8", "replace"))
        return str(fields["error"])
    except (ValueError, KeyError, TypeError):
        return ""
