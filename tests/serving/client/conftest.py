"""A small server of TensorFlow Serving's protocol in this process, and the project's own in another."""

import base64
import contextlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import numpy as np
import pytest
from google.protobuf import json_format

from contract.errors import Code, StatusError
from runtimes.tensor import NUMPY_TYPES, DataType, Tensor
from runtimes.tensorflow_protos import import_proto
from serving import tensors

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "tests" / "golden" / "tf_serving" / "models"
NAMES = ("half_plus_two", "types", "shapes", "example")


def array(dtype: str, values: Any) -> Any:
    return np.array(values, dtype)


def apis(name: str) -> Any:
    return import_proto(f"tensorflow_serving.apis.{name}_pb2")


def signature_defs(model: str) -> Any:
    saved = import_proto("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
    version = max(MODELS.joinpath(model).iterdir(), key=lambda path: int(path.name))
    saved.ParseFromString((version / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].signature_def


class FakeServer(grpc.GenericRpcHandler):
    """Answers for four of the golden models.

    Attributes:
        errors: codes and texts that the next calls end with, the first first.
        delay: seconds before each answer.
        typed: whether outputs go out in typed fields.
        version: that it says it serves.
        calls: name of each call that came, and its request: a message, or the body.
        headers: the metadata or headers of the last call.
    """

    def __init__(self, grpc_address: str = "127.0.0.1:0", credentials: Any = None, context: Any = None) -> None:
        self.errors: list[tuple[Code, str]] = []
        self.delay = 0.0
        self.typed = False
        self.version = 3
        self.calls: list[tuple[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.signatures = {name: signature_defs(name) for name in NAMES}
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(4),
            handlers=(self,),
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 2**31 - 1)],
        )
        if credentials is None:
            port = self._grpc.add_insecure_port(grpc_address)
        else:
            port = self._grpc.add_secure_port(grpc_address, credentials)
        self._grpc.start()
        self.grpc = f"127.0.0.1:{port}"
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake.rest_answer(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if context is not None:
            scheme = "https"
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.rest = f"{scheme}://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._grpc.stop(None).wait()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def target(self, kind: str) -> str:
        return self.grpc if kind == "grpc" else self.rest

    # What both faces do.

    def _begin(self, name: str, request: Any) -> None:
        self.calls.append((name, request))
        time.sleep(self.delay)
        if self.errors:
            raise StatusError(*self.errors.pop(0))

    def _signatures(self, spec: Any) -> Any:
        if spec.name not in self.signatures:
            raise StatusError(Code.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        return self.signatures[spec.name]

    def predict(self, request: Any) -> Any:
        signature = self._signatures(request.model_spec)[request.model_spec.signature_name or "serving_default"]
        given = {name: tensors.from_proto(proto) for name, proto in request.inputs.items()}
        assert all(given.values())
        arrays = {name: tensor.array for name, tensor in given.items() if tensor}
        values = self._computed(request.model_spec.name, arrays)
        response = apis("predict").PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = self.version
        for name in request.output_filter or signature.outputs:
            code = signature.outputs[name].dtype
            value = np.asarray(values[name] if name in values else values["y"], NUMPY_TYPES[code])
            tensors.to_proto(Tensor(code, value), response.outputs[name], as_content=not self.typed)
        return response

    def _computed(self, model: str, arrays: dict[str, Any]) -> dict[str, Any]:
        if model == "half_plus_two":
            return {"y": arrays["x"] * np.float32(0.5) + 4, "z": arrays["x"] * np.float32(0.5) + 104}
        if model == "shapes" and "a" in arrays:
            b = arrays.get("b", array("float32", [10]))
            return {"sum": arrays["a"] + b, "diff": arrays["a"] - b}
        if model == "shapes":
            x = arrays["x"]
            return {"y": x + 1 if x.shape == () and x.dtype != object else x}
        return arrays

    def metadata(self, request: Any) -> Any:
        pb = apis("get_model_metadata")
        found = pb.SignatureDefMap()
        for name, signature in self._signatures(request.model_spec).items():
            found.signature_def[name].CopyFrom(signature)
        response = pb.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = self.version
        response.metadata["signature_def"].Pack(found)
        return response

    def classify(self, request: Any) -> Any:
        pb = apis("classification")
        response = pb.ClassificationResponse()
        for example in request.input.example_list.examples:
            x, n, s = (example.features.feature[name] for name in "xns")
            row = response.result.classifications.add()
            for label, score in _classes(x.float_list.value, n.int64_list.value, s.bytes_list.value):
                row.classes.add(label=label, score=score)
        return response

    def regress(self, request: Any) -> Any:
        response = apis("regression").RegressionResponse()
        for example in request.input.example_list.examples:
            response.result.regressions.add(value=example.features.feature["x"].float_list.value[0] * 0.5 + 2)
        return response

    def status(self, request: Any) -> Any:
        self._signatures(request.model_spec)
        response = apis("get_model_status").GetModelStatusResponse()
        response.model_version_status.add(version=self.version, state=30)
        one = response.model_version_status.add(version=1, state=50)
        one.status.error_code, one.status.error_message = 5, "gone"
        return response

    # gRPC.

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rsplit("/", 1)[1]
        answer, module, message = {
            "Predict": (self.predict, "predict", "PredictRequest"),
            "Classify": (self.classify, "classification", "ClassificationRequest"),
            "Regress": (self.regress, "regression", "RegressionRequest"),
            "GetModelMetadata": (self.metadata, "get_model_metadata", "GetModelMetadataRequest"),
            "GetModelStatus": (self.status, "get_model_status", "GetModelStatusRequest"),
        }[name]
        self.headers = {item.key: item.value for item in handler_call_details.invocation_metadata}

        def called(request: Any, context: Any) -> Any:
            try:
                self._begin(name, request)
                return answer(request)
            except StatusError as err:
                context.abort(grpc.StatusCode[err.code.name], err.message)

        return grpc.unary_unary_rpc_method_handler(
            called,
            request_deserializer=getattr(apis(module), message).FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    # REST.

    def rest_answer(self, handler: Any) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        try:
            self._begin(handler.path, body)
            status, answer = 200, self._rest(handler.path, json.loads(body) if body else None)
        except StatusError as err:
            table = {Code.NOT_FOUND: 404, Code.UNAVAILABLE: 503, Code.RESOURCE_EXHAUSTED: 429}
            status, answer = table.get(err.code, 400), {"error": err.message}
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode("utf-8", "surrogateescape")
        with contextlib.suppress(ConnectionError):
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)

    def _rest(self, path: str, body: Any) -> Any:
        name, _, verb = path.removeprefix("/v1/models/").partition(":")
        name, *rest = map(unquote, name.split("/"))
        spec = apis("model").ModelSpec(name=name)
        if rest == ["metadata"]:
            request = apis("get_model_metadata").GetModelMetadataRequest(model_spec=spec)
            response = self.metadata(request)
            found = apis("get_model_metadata").SignatureDefMap()
            response.metadata["signature_def"].Unpack(found)
            return {
                "model_spec": {"name": name, "signature_name": "", "version": str(self.version)},
                "metadata": {"signature_def": _as_json(found)},
            }
        if not verb:
            return _as_json(self.status(apis("get_model_status").GetModelStatusRequest(model_spec=spec)))
        if verb != "predict":
            if verb == "regress":
                return {"results": [example["x"][0] * 0.5 + 2 for example in body["examples"]]}
            strings = [[base64.b64decode(s["b64"]) for s in example.get("s", [])] for example in body["examples"]]
            pairs = zip(body["examples"], strings, strict=True)
            return {"results": [_classes(example["x"], example.get("n"), s) for example, s in pairs]}
        signature = self._signatures(spec)[body["signature_name"]]
        request = apis("predict").PredictRequest(model_spec=spec)
        request.model_spec.signature_name = body["signature_name"]
        for alias, value in body["inputs"].items():
            code = signature.inputs[alias].dtype
            tensors.to_proto(Tensor(code, _from_json(value, code)), request.inputs[alias])
        outputs = {}
        for alias, proto in self.predict(request).outputs.items():
            tensor = tensors.from_proto(proto)
            assert tensor
            outputs[alias] = _to_json(tensor.array, as_b64=alias.endswith("_bytes"))
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}


def _classes(x: Any, n: Any, s: Any) -> list[tuple[str, float]]:
    """The classes that the golden model ``example`` gives."""
    return [(s[0].decode() if s else "-", x[0]), ("one", x[0] + 1), ("two", n[0] if n else 0)]


def _as_json(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _from_json(value: Any, code: int) -> Any:
    if code != DataType.STRING:
        return np.array(value, NUMPY_TYPES[code])
    array = np.array(value, object)
    flat = np.empty(array.size, object)
    flat[:] = [base64.b64decode(item["b64"]) for item in array.ravel().tolist()]
    return flat.reshape(array.shape)


def _to_json(array: Any, *, as_b64: bool) -> Any:
    if array.dtype != object:
        return array.tolist()
    flat = np.empty(array.size, object)
    flat[:] = [
        {"b64": base64.b64encode(item).decode()} if as_b64 else item.decode("utf-8", "surrogateescape")
        for item in array.ravel().tolist()
    ]
    return flat.reshape(array.shape).tolist()


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    """The small server."""
    server = FakeServer()
    yield server
    server.close()


@pytest.fixture
def make_fake() -> Iterator[Callable[..., FakeServer]]:
    """Makes small servers with addresses and certificates of their own."""
    with contextlib.ExitStack() as stack:

        def made(*arguments: Any, **options: Any) -> FakeServer:
            server = FakeServer(*arguments, **options)
            stack.callback(server.close)
            return server

        yield made


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RealServer:
    """The project's own server with four of the golden models."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            ports = one.getsockname()[1], two.getsockname()[1]
        self.grpc, self.rest = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        entries = (
            f'config {{ name: "{name}" base_path: "{MODELS / name}" model_platform: "tensorflow" }}' for name in NAMES
        )
        (folder / "models").write_text(f"model_config_list {{ {' '.join(entries)} }}")
        self.socket = folder / "grpc.sock"
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-c", "import serving.model_server as it; it.main()", f"--port={ports[0]}"),
                    *(f"--rest_api_port={ports[1]}", f"--model_config_file={folder / 'models'}"),
                    f"--grpc_socket_path={self.socket}",
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def target(self, kind: str) -> str:
        return self.grpc if kind == "grpc" else self.rest

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The project's own server, started once; slow."""
    from serving.client import Client

    server = RealServer(tmp_path_factory.mktemp("real"))
    try:
        deadline = time.monotonic() + 60
        with Client(server.rest) as by_rest, Client(server.grpc) as by_grpc:
            while not (by_rest.ready(timeout=1) and by_grpc.ready(timeout=1)):
                assert server.process.poll() is None, server.log.read_text()
                assert time.monotonic() < deadline, server.log.read_text()
                time.sleep(0.05)
        yield server
    finally:
        server.close()
