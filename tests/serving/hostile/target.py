"""A server to be treated badly, and ways to call it."""

import contextlib
import http.client
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from runtimes.tensorflow_protos import import_proto
from tests.serving.golden.recorded import Program
from tests.serving.golden.server import Server

OURS = Program("ours", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)
PORTS = ["--port=<GRPC>", "--rest_api_port=<REST>"]
ONE = [*PORTS, "--model_name=half_plus_two", "--model_base_path=<MODELS>/half_plus_two"]
READY = {"expect": {"state": "ready"}}
PREDICT = "/tensorflow.serving.PredictionService/Predict"
TIMEOUT_S = 60
GIB = 2**30

GOOD = b'{"instances": [1]}'
GOOD_ANSWER = {"predictions": [4.5]}

MISTAKES = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "OUT_OF_RANGE", "UNIMPLEMENTED"}
MISTAKE_STATUSES = {400, 404, 501}


class Target:
    """A ready server, and ways to call it."""

    def __init__(self, server: Server, base: Path) -> None:
        self.server = server
        self.base = base
        self.grpc_port, self.rest_port = int(server.filled("<GRPC>")), int(server.filled("<REST>"))
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=options)

    def grpc(self, request: bytes, method: str = PREDICT) -> str:
        """The code that a request is answered with."""
        try:
            self.channel.unary_unary(method)(request, timeout=TIMEOUT_S)
        except grpc.RpcError as err:
            return str(err.code().name)
        return "OK"

    def post(self, body: bytes, path: str = "/v1/models/half_plus_two:predict", **headers: str) -> tuple[int, bytes]:
        """Status and body of the answer to a request on a connection of its own."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=TIMEOUT_S)) as one:
            one.request("POST", path, body, headers)
            with one.getresponse() as response:
                return response.status, response.read()

    def connect(self, port: int | None = None) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port or self.rest_port), timeout=TIMEOUT_S)

    def exchange(self, data: bytes) -> bytes:
        """All that comes back for bytes on the HTTP port, until the server closes or has nothing more to say."""
        with self.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return received(connection)

    def is_well(self) -> bool:
        """Whether it answers good requests."""
        answer = self.post(GOOD)
        return (answer[0], json.loads(answer[1])) == (200, GOOD_ANSWER) and self.grpc(good_request()) == "OK"

    @property
    def rss(self) -> int:
        """Bytes of memory that it has."""
        fields = Path(f"/proc/{self.server._process.pid}/statm").read_text().split()
        return int(fields[1]) * 4096

    @property
    def stderr(self) -> str:
        return (self.base / "stderr").read_text(errors="replace")


def received(connection: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**16):
            data += part
    return data


@contextlib.contextmanager
def started(base: Path, setup: dict[str, Any]) -> Iterator[Target]:
    with Server(OURS, setup, base) as server:
        assert server.start(READY, "<GRPC>", "<REST>")["state"] == "ready", server.report()
        target = Target(server, base)
        with target.channel:
            yield target


def messages() -> Any:
    return import_proto("tensorflow_serving.apis.predict_pb2")


def predict_request(model: str = "half_plus_two", alias: str = "x", **tensor: Any) -> Any:
    request = messages().PredictRequest()
    request.model_spec.name = model
    dims = tensor.pop("dims", ())
    proto = request.inputs[alias]
    for name, value in {"dtype": 1, **tensor}.items():
        if isinstance(value, list):
            getattr(proto, name).extend(value)
        else:
            setattr(proto, name, value)
    for size in dims:
        proto.tensor_shape.dim.add(size=size)
    return request


def good_request() -> bytes:
    data: bytes = predict_request(dims=[1], float_val=[1.0]).SerializeToString()
    return data


def request_bytes(value: float = 1, *headers: str, version: str = "1.1", model: str = "half_plus_two") -> bytes:
    body = json.dumps({"instances": [value]})
    lines = [f"POST /v1/models/{model}:predict HTTP/{version}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def answers(data: bytes) -> list[tuple[int, Any, dict[str, str]]]:
    """Status, JSON and headers of each response in a stream."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        body = data[:length]
        is_json = headers.get("content-type", "").startswith("application/json")
        found.append((int(first.split()[1]), json.loads(body) if is_json and body else body, headers))
        data = data[length:]
    return found
