"""Bad starts, bad clients and bad luck: what must be refused is refused, and the next good request is answered."""

import contextlib
import gzip
import http.client
import json
import random
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtimes.tensorflow_protos import import_proto
from tests.serving.golden.recorded import MODELS, SETUPS, Program
from tests.serving.golden.server import Server

pytestmark = pytest.mark.slow  # starts servers

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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with started(tmp_path_factory.mktemp("server"), SETUPS["default"]) as target:
        yield target


@pytest.fixture
def target(shared: Target) -> Iterator[Target]:
    """The server that the tests share; when a test ends it must be well, and have met no error of its own."""
    before = len(shared.stderr)
    yield shared
    assert shared.server.is_alive, shared.server.report()
    assert shared.is_well()
    said = shared.stderr[before:]
    assert not any(line in said for line in ("A call failed", "Exception in ", "never retrieved")), said[-4000:]


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


# The start.


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_grpc_port_in_use_fails_the_start(tmp_path):
    with taken_port() as port, Server(OURS, {"flags": [f"--port={port}", *ONE[1:]]}, tmp_path) as server:
        state = server.start(READY, "<REST>")
        assert (state["state"], state["exit"]) == ("exit", 255)
        lines = (state["stdout"] + (tmp_path / "stderr").read_text()).splitlines()
        assert any(f":{port}" in line and "Failed to start server" in line for line in lines), lines


def test_a_grpc_port_of_another_server_fails_the_start(target, tmp_path):
    flags = [f"--port={target.grpc_port}", *ONE[1:]]
    with Server(OURS, {"flags": flags}, tmp_path) as server:
        state = server.start(READY, "<REST>")
        assert (state["state"], state["exit"]) == ("exit", 255)
        assert f":{target.grpc_port}" in state["stdout"]


def test_an_http_port_in_use_leaves_grpc(tmp_path):
    with taken_port() as port:
        flags = [ONE[0], f"--rest_api_port={port}", *ONE[2:]]
        with Server(OURS, {"flags": flags}, tmp_path) as server:
            assert server.start(READY, "<GRPC>")["state"] == "ready"
            with Target(server, tmp_path).channel as channel:
                assert channel.unary_unary(PREDICT)(good_request(), timeout=TIMEOUT_S)
            time.sleep(0.2)
            assert server.is_alive
            assert f":{port}" in (tmp_path / "stderr").read_text()


@pytest.mark.parametrize("exists", [False, True], ids=["missing", "empty"])
def test_a_base_path_without_versions_is_waited_for(exists, tmp_path):
    base = tmp_path / "later"
    if exists:
        base.mkdir()
    waiting = {"seconds": 1.5, "expect": {"state": "waiting"}}
    flags = [*PORTS, "--model_name=half_plus_two", f"--model_base_path={base}"]
    with Server(OURS, {"flags": flags}, tmp_path) as server:
        assert server.start(waiting, "<GRPC>")["state"] == "waiting"
        assert str(base) in (tmp_path / "stderr").read_text()
        base.mkdir(exist_ok=True)
        base.joinpath("3").symlink_to(MODELS / "half_plus_two" / "3")
        assert server.start(READY, "<GRPC>", "<REST>")["state"] == "ready"
        target = Target(server, tmp_path)
        with target.channel:
            assert target.is_well()


def test_a_waiting_start_hears_a_signal(tmp_path):
    flags = [*PORTS, f"--model_base_path={tmp_path / 'missing'}"]
    with Server(OURS, {"flags": flags}, tmp_path) as server:
        server.start({"seconds": 1, "expect": {"state": "waiting"}}, "<GRPC>")
        server._process.send_signal(signal.SIGTERM)
        assert server.ends_within(TIMEOUT_S)
        assert server._process.returncode == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("model_config_list {\n  config {\n    nam: 'x'\n  }\n}\n", "3:5"),
        ("model_config_list {\n  config {\n    name: 'x\n  }\n}\n", "3:11"),
        ("model_config_list {\n  config {\n    name: 'x'\n", "3:11"),
    ],
    ids=["field", "quote", "end"],
)
def test_a_typo_in_the_config_is_located(text, place, tmp_path):
    setup = {"flags": [*PORTS, "--model_config_file=<BASE>/models.config"], "files": {"models.config": text}}
    with Server(OURS, setup, tmp_path) as server:
        state = server.start(READY, "<GRPC>")
        assert (state["state"], state["exit"]) == ("exit", 255)
        assert place in (tmp_path / "stderr").read_text()


# Too much.


def free_bytes() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


needs_memory = pytest.mark.skipif(free_bytes() < 8 * GIB, reason="needs 8 GiB of free memory")


def comes_down(target: Target, before: int, size: int) -> bool:
    """Whether the server's memory is soon near what it was before a request of a size."""
    deadline = time.monotonic() + 10
    while (is_high := target.rss > before + size // 2) and time.monotonic() < deadline:
        assert target.is_well()  # the last body may be kept until a next request comes
        time.sleep(0.1)
    return not is_high


sizes_in_bytes = pytest.mark.parametrize(
    "size", [256 * 2**20, pytest.param(GIB, marks=pytest.mark.long)], ids=["256 MiB", "1 GiB"]
)


@needs_memory
@sizes_in_bytes
def test_a_huge_grpc_request(size, target):
    assert target.is_well()
    request = predict_request(dims=[1], tensor_content=bytes(size)).SerializeToString()
    memory = [target.rss]
    for _ in range(4):
        assert target.grpc(request) == "INVALID_ARGUMENT"
        memory.append(target.rss)
    # The C library keeps what has come in many small pieces, for the next one; a leak would grow with each.
    assert memory[-1] < memory[0] + 3 * size


@needs_memory
@sizes_in_bytes
@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        (b'{"signature_name": "serving_default",', b'"instances": [1]}', 200),
        (b'{"signature_name": "', b'", "instances": [1]}', 400),
        (b"", b"x", 400),
    ],
    ids=["fits", "long name", "no JSON"],
)
def test_a_huge_rest_body(start, end, status, size, target):
    assert target.is_well()
    before = target.rss
    part = b" " * 2**20
    with target.connect() as connection:
        head = f"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nContent-Length: {len(start) + size + len(end)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + start)
        for _ in range(size // len(part)):
            connection.sendall(part)
        connection.sendall(end)
        first = connection.recv(2**16).split(b"\r\n")[0]
        while connection.recv(2**20):
            pass
    assert first.split()[1] == str(status).encode()
    assert comes_down(target, before, size)


@pytest.mark.parametrize("levels", [10_000, 1_000_000])
@pytest.mark.parametrize(
    ("start", "up", "down"),
    [
        (b'{"instances":', b"[", b"]}"),
        (b'{"instances":', b"[", b""),
        (b'{"inputs":', b'{"x":', b"1}"),
        (b'{"instances":[', b'{"a":', b""),
        (b'{"signature_name":', b"[", b"]}"),
        (b"", b"[", b"]"),
    ],
)
def test_deep_json(start, up, down, levels, target):
    end = down[:1] * levels + down[1:] if down.startswith(b"]") else down[:-1] + down[-1:] * (levels + 1)
    assert target.post(start + up * levels + (end if down else b""))[0] == 400


def test_deep_json_of_examples(target):
    levels = 1_000_000
    for verb in ("classify", "regress"):
        body = b'{"examples":[{"x":' + b"[" * levels + b"]" * levels + b"}]}"
        assert target.post(body, f"/v1/models/example:{verb}")[0] == 400


def test_a_gzip_bomb(target):
    bomb = gzip.compress(b'{"instances": [1]' + b" " * (101 * 2**20) + b"}", 9)
    assert len(bomb) < 2**20
    before = target.rss
    assert target.post(bomb, **{"Content-Encoding": "gzip"})[0] == 400
    assert comes_down(target, before, 200 * 2**20)


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b", gzip.compress(GOOD)[:-4], GOOD, b"\x1f\x8b" + bytes(100)])
def test_a_broken_gzip(body, target):
    assert target.post(body, **{"Content-Encoding": "gzip"})[0] == 400
    assert target.post(gzip.compress(GOOD), **{"Content-Encoding": "gzip"})[0] == 200


@pytest.mark.parametrize(
    "dims",
    [[2**40], [2**62, 2**62], [2**63 - 1], [2**20, 2**20], [-1], [3, -1], [-(2**63)], [1] * 33, [1] * 300, [0, 2**62],
     [0, 2**62, 2**62], [2**40, 0, 2**40]],
)  # fmt: skip
@pytest.mark.parametrize("given_by", ["float_val", "tensor_content", "nothing"])
def test_an_impossible_shape(dims, given_by, target):
    fields: dict[str, Any] = {"float_val": [1.0], "tensor_content": bytes(4)}
    values = {given_by: fields[given_by]} if given_by in fields else {}
    for model, alias in (("half_plus_two", "x"), ("varlen", "x")):
        assert target.grpc(predict_request(model, alias, dims=dims, **values).SerializeToString()) in MISTAKES


def test_names_that_are_no_text(target):
    good = good_request()
    bad_model = good.replace(b"half_plus_two", b"half_plus_tw\xff")
    bad_alias = good.replace(b"\x0a\x01x", b"\x0a\x01\xff")
    assert len({good, bad_model, bad_alias}) == 3
    for request in (bad_model, bad_alias):
        # What TensorFlow Serving answers to bytes that are no message: case grpc_predict-161.
        assert target.grpc(request) == "INTERNAL"
    for name in ("half%ff", "%ff", "%00", "half_plus_two%00", "%f0%9f%98"):
        for verb in ("predict", "classify", "regress"):
            assert target.post(GOOD, f"/v1/models/{name}:{verb}")[0] in MISTAKE_STATUSES
            assert target.post(GOOD, f"/v1/models/{name}/labels/{name}:{verb}")[0] in MISTAKE_STATUSES
    for body in (b'{"signature_name": "\xff", "instances": [1]}', b'{"inputs": {"\xff": [1]}}', b'{"\xff": 1}'):
        assert target.post(body)[0] == 400
    for path in (
        "/v1/models/half_plus_two/labels/a\xff:predict",
        "/v1/models/\xff",
        "/v1/models/\xff/metadata",
        "/\xff",
    ):
        line = f"POST {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
        assert target.exchange(line).split()[1] in (b"400", b"404")


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_a_signature_that_is_no_text(verb, target):
    body = b'{"signature_name": "\xff", "examples": [{"x": 1}]}'
    assert target.post(body, f"/v1/models/example:{verb}")[0] == 400


# HTTP.


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


def test_pipelined_requests_are_answered_in_order(target):
    found = answers(target.exchange(b"".join(request_bytes(value) for value in range(300))))
    assert [answer["predictions"] for _, answer, _ in found] == [[value / 2 + 4] for value in range(300)]


def test_pipelined_requests_keep_their_order_when_some_are_slow(target):
    large = json.dumps({"instances": [7] * 20000}).encode()  # goes to a thread
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(large)
    parts = [head + large if value % 5 == 0 else request_bytes(value) for value in range(30)]
    with target.connect() as connection:
        connection.sendall(b"".join(parts) + request_bytes(99, "Connection: close"))
        found = answers(received(connection))
    firsts = [answer["predictions"][0] for _, answer, _ in found]
    assert firsts == [7.5 if value % 5 == 0 else value / 2 + 4 for value in range(30)] + [99 / 2 + 4]


def test_a_request_that_ends_its_side_is_answered(target):
    """The slow ones too: they are computed by a thread after the end has come."""
    slow = request_bytes(300_000, model="slow")
    assert answers(target.exchange(request_bytes()))[0][:2] == (200, GOOD_ANSWER)
    found = answers(target.exchange(slow + request_bytes()))
    assert [status for status, _, _ in found] == [200, 200]


def test_nonsense_after_requests_does_not_take_their_answers(target):
    slow = request_bytes(300_000, model="slow")
    for before in ([], [request_bytes()], [slow], [slow, request_bytes(), slow]):
        found = answers(target.exchange(b"".join(before) + b"\0nonsense\r\n\r\n"))
        assert [status for status, _, _ in found] == [200] * len(before) + [400]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_chunked_body(size, target):
    chunks = [GOOD[start : start + size] for start in range(0, len(GOOD), size)]
    body = b"".join(b"%x;name=value\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n"
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert [found[:2] for found in answers(target.exchange(head + body + request_bytes()))] == [(200, GOOD_ANSWER)] * 2


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"Content-Length: x\r\n\r\n",
        b"No colon\r\n\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"A: " + b"x" * 2**17 + b"\r\n\r\n",
        b"".join(b"A%d: x\r\n" % number for number in range(20000)) + b"\r\n",
    ],
)
def test_a_bad_head_is_refused(rest, target):
    found = target.exchange(b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\n" + rest)
    status, _, headers = answers(found)[-1]
    assert status in (400, 413, 431)
    assert headers["connection"] == "close"


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_expect_100_continue(value, target):
    head, _, body = request_bytes(1, f"Expect: {value}", "Connection: close").partition(b"\r\n\r\n")
    with target.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(2**16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answers(received(connection))[0][:2] == (200, GOOD_ANSWER)


@pytest.mark.parametrize(
    ("version", "header", "stays"),
    [
        ("1.1", "X: y", True),
        ("1.1", "Connection: keep-alive", True),
        ("1.1", "Connection: close", False),
        ("1.0", "X: y", False),
        ("1.0", "Connection: keep-alive", True),
        ("1.0", "Connection: close", False),
    ],
)
def test_a_connection_stays_or_is_closed(version, header, stays, target):
    with target.connect() as connection:
        for _ in range(2 if stays else 1):
            connection.sendall(request_bytes(1, header, version=version))
            status, answer, headers = answers(connection.recv(2**16))[0]
            assert (status, answer) == (200, GOOD_ANSWER)
            # libevent tells HTTP/1.0 alone that the connection stays; ab -k waits for the word.
            assert headers.get("connection") == (("keep-alive" if version == "1.0" else None) if stays else "close")
        connection.settimeout(0.2 if stays else TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            assert connection.recv(1) == b""
            assert not stays


def test_half_requests(target):
    whole = request_bytes()
    for end in range(0, len(whole), 7):
        with target.connect() as connection:
            connection.sendall(whole[:end])
            if end % 2:  # a reset instead of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert target.is_well()
    for end in range(0, len(whole), 31):
        assert target.exchange(whole[:end]) == b""


def test_clients_that_do_not_wait_for_the_answer(target):
    large = json.dumps({"instances": [7] * 20000}).encode()
    head = b"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(large)
    for data in (request_bytes(), request_bytes(10000, model="slow"), head + large) * 10:
        with target.connect() as connection:
            connection.sendall(data * 3)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    call = target.channel.unary_unary(PREDICT)
    slow = predict_request("slow", "us", dtype=9, dims=[1], int64_val=[100_000]).SerializeToString()
    for future in [call.future(slow) for _ in range(20)]:
        future.cancel()


def test_random_bytes(target):
    generator = random.Random(1)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for number in range(120):
        data = generator.randbytes(generator.randrange(1, 3000))
        for port in (target.rest_port, target.grpc_port):
            start = (b"", b"POST /v1/models/", preface, request_bytes()[:-2])[number % 4]
            with target.connect(port) as connection, contextlib.suppress(ConnectionError, TimeoutError):
                connection.sendall(start + data)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(0.02)
                connection.recv(2**16)


# Many and slow connections.


def test_slow_loris(target):
    """Good requests are answered while twenty clients send a byte at a time."""
    ended = threading.Event()
    whole = request_bytes()
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(target.connect()) for _ in range(20)]
        slow_grpc = [stack.enter_context(target.connect(target.grpc_port)) for _ in range(20)]

        def drip() -> None:
            for number in range(len(whole)):
                for index, connection in enumerate(slow):
                    connection.sendall((whole if index % 2 else b"GET /" + whole)[number : number + 1])
                for connection in slow_grpc:
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[number : number + 1])
                if ended.wait(1):
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            took = []
            while time.monotonic() < begun + 3:
                start = time.monotonic()
                assert target.is_well()
                took.append(time.monotonic() - start)
        finally:
            ended.set()
            thread.join()
    assert len(took) > 30
    assert max(took) < 5


@pytest.mark.long  # the server waits for 30 s
def test_a_head_that_does_not_come_ends_its_connection(target):
    with target.connect() as slow, target.connect() as idle:
        begun = time.monotonic()
        while not select.select([slow], [], [], 1)[0]:
            assert time.monotonic() < begun + TIMEOUT_S
            slow.sendall(b"P" if time.monotonic() < begun + 1 else b"O")
        idle.sendall(request_bytes())  # nothing has begun on it: it stays
        assert answers(idle.recv(2**16))[0][0] == 200


def test_idle_connections(target):
    with contextlib.ExitStack() as stack:
        for number in range(500):
            connection = stack.enter_context(target.connect())
            if number % 2:
                connection.sendall(request_bytes())
                assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
        for number in range(100):
            stack.enter_context(target.connect(target.grpc_port))
            if number % 2:
                channel = grpc.insecure_channel(
                    f"127.0.0.1:{target.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)]
                )
                stack.enter_context(channel)
                assert channel.unary_unary(PREDICT)(good_request(), timeout=TIMEOUT_S)
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(lambda _: target.is_well(), range(20)))


# Whatever comes.

names = st.sampled_from(["half_plus_two", "types", "shapes", "varlen", "table", "example"])
aliases = st.sampled_from(["x", "a", "b", "s", "i", "f32", "inputs", "other", "us"])
signatures = st.sampled_from(
    ["", "serving_default", "s", "b", "c64", "f16", "bf16", "i8", "u64", "scalar", "scalar_string", "unknown", "matrix",
     "defaults", "empty_inner", "rank3", "fixed", "classify", "regress", "to_qint8", "__saved_model_init_op"]
)  # fmt: skip
sizes = st.sampled_from([0, 1, 1, 2, 2, 3, 8, -1, -(2**63), 2**31, 2**40, 2**62, 2**63 - 1])
ints32, ints64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
floats = st.floats(width=32)

FIELDS: dict[str, Any] = {
    "float_val": floats,
    "double_val": st.floats(),
    "int_val": ints32,
    "string_val": st.binary(max_size=9),
    "scomplex_val": floats,
    "int64_val": ints64,
    "bool_val": st.booleans(),
    "dcomplex_val": st.floats(),
    "half_val": ints32,
    "uint32_val": st.integers(0, 2**32 - 1),
    "uint64_val": st.integers(0, 2**64 - 1),
}


@st.composite
def tensor_protos(draw: Any) -> Any:
    proto = import_proto("tensorflow.core.framework.tensor_pb2").TensorProto()
    proto.dtype = draw(st.integers(0, 30) | st.sampled_from([1, 1, 7, 9, 101, 107, 2**31 - 1, -1]))
    for size in draw(st.lists(sizes, max_size=4) | st.just([1] * 40)):
        proto.tensor_shape.dim.add(size=size, name=draw(st.sampled_from(["", "batch"])))
    proto.tensor_shape.unknown_rank = draw(st.sampled_from([False, False, False, True]))
    proto.version_number = draw(st.sampled_from([0, 0, -1]))
    for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2)):
        getattr(proto, name).extend(draw(st.lists(FIELDS[name], max_size=8)))
    if draw(st.integers(0, 3)) == 0:
        proto.tensor_content = draw(st.binary(max_size=32))
    if draw(st.integers(0, 9)) == 0:
        proto.resource_handle_val.add(name=draw(st.text(max_size=3)))
    if draw(st.integers(0, 9)) == 0:
        proto.variant_val.add(type_name=draw(st.text(max_size=3))).tensors.add(dtype=1)
    return proto


@st.composite
def predict_requests(draw: Any) -> bytes:
    request = messages().PredictRequest()
    if draw(st.integers(0, 9)):
        request.model_spec.name = draw(names) if draw(st.integers(0, 9)) else draw(st.text(max_size=5))
        request.model_spec.signature_name = draw(signatures | st.text(max_size=5))
        if draw(st.integers(0, 4)) == 0:
            request.model_spec.version.value = draw(st.sampled_from([1, 3]) | ints64)
        elif draw(st.integers(0, 4)) == 0:
            request.model_spec.version_label = draw(st.sampled_from(["stable", "bad"]) | st.text(max_size=5))
    for alias in draw(st.lists(aliases | st.text(max_size=3), max_size=3)):
        request.inputs[alias].CopyFrom(draw(tensor_protos()))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["y", "x", "sum"]) | st.text(max_size=3), max_size=2)))
    data: bytes = request.SerializeToString()
    return data


many = settings(
    derandomize=True,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@many
@given(request=predict_requests())
def test_any_predict_request(request, target):
    assert target.grpc(request) in {"OK", *MISTAKES}


TENSOR_SIGNATURES = [
    ("types", "f32", "f32", 1), ("types", "f64", "f64", 2), ("types", "i32", "i32", 3), ("types", "u8", "u8", 4),
    ("types", "i16", "i16", 5), ("types", "i8", "i8", 6), ("types", "s", "s", 7), ("types", "c64", "c64", 8),
    ("types", "i64", "i64", 9), ("types", "b", "b", 10), ("types", "bf16", "bf16", 14), ("types", "u16", "u16", 17),
    ("types", "f16", "f16", 19), ("types", "u32", "u32", 22), ("types", "u64", "u64", 23),
    ("shapes", "unknown", "x", 1), ("shapes", "scalar", "x", 1), ("shapes", "scalar_string", "x", 7),
    ("shapes", "matrix", "x", 1), ("shapes", "rank3", "x", 1), ("shapes", "empty_inner", "x", 1),
]  # fmt: skip


@many
@given(kind=st.sampled_from(TENSOR_SIGNATURES), proto=tensor_protos(), keeps_type=st.booleans())
def test_any_tensor(kind, proto, keeps_type, target):
    model, signature, alias, dtype = kind
    request = messages().PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.inputs[alias].CopyFrom(proto)
    if not keeps_type:
        request.inputs[alias].dtype = dtype
    assert target.grpc(request.SerializeToString()) in {"OK", *MISTAKES}


scalars = st.none() | st.booleans() | floats | ints64 | st.text(max_size=5) | st.just({"b64": "AA=="})
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(aliases | st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
documents = st.dictionaries(
    st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"]) | st.text(max_size=3),
    values | st.lists(values, max_size=3),
    max_size=3,
).map(lambda value: json.dumps(value).encode())
likely = st.fixed_dictionaries({}, optional={"signature_name": signatures, "context": values}).flatmap(
    lambda head: st.sampled_from(["instances", "inputs", "examples"]).flatmap(
        lambda key: st.lists(values, max_size=3).map(lambda rows: json.dumps({**head, key: rows}).encode())
    )
)


@st.composite
def damaged(draw: Any) -> bytes:
    body = bytearray(draw(likely))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=3)
            | st.sampled_from([b"\\u", b"\\ud800", b"1e999", b"NaN", b'"', b"[", b"]", b"{", b"}", b",", b"\0"])
        )
    return bytes(body)


@many
@given(
    model=names,
    rest=st.sampled_from(["", "", "", "/versions/1", "/versions/99", "/labels/stable", "/labels/no"]),
    verb=st.sampled_from([":predict", ":predict", ":classify", ":regress"]),
    body=documents | likely | damaged() | st.binary(max_size=40),
)
def test_any_rest_body(model, rest, verb, body, target):
    assert target.post(body, f"/v1/models/{model}{rest}{verb}")[0] in {200, *MISTAKE_STATUSES}


@many
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE"]),
    path=st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=12).map(lambda text: f"/v1/models/{text}")
    | st.from_regex(
        r"/v1/models/(half_plus_two|%[0-9a-f]{2})?(/(versions|labels)/[-%0-9a-z]{0,25})?(/metadata|:[a-z]+)?"
    ),
)
def test_any_path(method, path, target):
    line = f"{method} {path.strip()} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    found = target.exchange(line.encode("latin-1", "replace"))
    assert int(found.split()[1]) in {200, 405, *MISTAKE_STATUSES}
