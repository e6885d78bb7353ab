"""HTTP on a real socket of this machine, with an answer that tells what it was asked."""

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serving.rest.http import HttpLimits, Response
from serving.rest.server import HttpServer

SOON = 30


class Slow:
    """An answer that waits to be let go, in a thread."""

    def __init__(self, response, event):
        self._response, self._event = response, event

    def is_quick(self):
        return False

    def finish(self):
        assert self._event.wait(SOON)
        return self._response


class BrokenLater(Slow):
    """An answer that fails in its thread."""

    def finish(self):
        raise RuntimeError("broken later")


class Quick:
    """An answer that is computed at once."""

    def __init__(self, response):
        self._response = response

    def is_quick(self):
        return True

    def finish(self):
        return self._response


class Answers:
    """Tells each request back as JSON; targets with ``slow`` in them wait for `go`."""

    def __init__(self):
        self.go = threading.Event()
        self.requests = []

    def __call__(self, request):
        self.requests.append(request)
        if request.target == "/broken":
            raise RuntimeError("broken")
        if request.target == "/broken-later":
            return BrokenLater(None, self.go)
        told = {"method": request.method, "target": request.target, "body": request.body.decode("latin-1")}
        response = Response(200, json.dumps(told).encode(), headers="X-More: yes\r\n")
        if "slow" in request.target:
            return Slow(response, self.go)
        return Quick(response) if "quick" in request.target else response


class Client:
    """A connection."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), SOON)
        self._file = self._socket.makefile("rb")

    def send(self, data):
        self._socket.sendall(data)

    def ends_sending(self):
        self._socket.shutdown(socket.SHUT_WR)

    def head(self):
        """Status and headers; None at the end of the connection."""
        line = self._file.readline()
        if not line:
            return None
        protocol, status, _ = line.decode("latin-1").split(" ", 2)
        assert protocol == "HTTP/1.1"
        headers = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, value = line.decode("latin-1").rstrip("\r\n").split(": ", 1)
            headers[name.lower()] = value
        return int(status), headers

    def response(self):
        """Status, headers and body; None at the end of the connection."""
        head = self.head()
        return head and (*head, self._file.read(int(head[1].get("content-length", 0))))

    def told(self):
        status, _, body = self.response()
        assert status == 200
        return json.loads(body)

    def has_ended(self):
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def has_data(self, seconds=0.1):
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(SOON)

    def close(self):
        self._file.close()
        self._socket.close()


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def serve(answers):
    servers: list[Any] = []
    clients: list[Client] = []

    def make(**limits):
        server: Any = HttpServer(answers, threads=2, limits=HttpLimits(**limits))
        server.start("127.0.0.1", 0)
        servers.append(server)
        port = server._server.sockets[0].getsockname()[1]

        def connect():
            clients.append(Client(port))
            return clients[-1]

        connect.server = server  # type: ignore[attr-defined]
        return connect

    yield make
    answers.go.set()
    for client in clients:
        client.close()
    for server in servers:
        if server._thread.is_alive():
            server.stop(0)


@pytest.fixture
def client(serve):
    return serve()()


def get(target="/", *headers, method="GET", version="1.1"):
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/{version}", "Host: x", *headers, "")).encode()


def post(body, *headers, target="/"):
    return get(target, f"Content-Length: {len(body)}", *headers, method="POST") + body


# Requests and responses.


def test_a_request_and_its_response(client, answers):
    client.send(post(b"abc", "X-Odd:  Some Value", target="/v1/x%20y?z=1"))
    status, headers, body = client.response()
    assert status == 200
    assert json.loads(body) == {"method": "POST", "target": "/v1/x%20y?z=1", "body": "abc"}
    assert headers.pop("date").endswith(" GMT")
    assert headers == {"content-type": "application/json", "content-length": str(len(body)), "x-more": "yes"}
    assert answers.requests[0].headers == {b"host": b"x", b"content-length": b"3", b"x-odd": b"Some Value"}
    assert answers.requests[0].header("x-odd") == "Some Value"


def test_a_connection_is_kept(client):
    for number in range(5):
        client.send(post(b"x" * number, target=f"/quick{number}"))
        assert client.told() == {"method": "POST", "target": f"/quick{number}", "body": "x" * number}


def test_a_connection_is_closed_on_demand(client):
    client.send(get("/", "Connection: close"))
    status, headers, _ = client.response()
    assert (status, headers["connection"]) == (200, "close")
    assert client.has_ended()


def test_http_1_0_closes_unless_it_asks_to_stay(serve):
    client = serve()()
    client.send(get(version="1.0"))
    assert client.response()[1]["connection"] == "close"
    assert client.has_ended()


def test_a_request_in_small_pieces(client):
    for byte in post(b'{"a": 1}', target="/some/target"):
        client.send(bytes([byte]))
    assert client.told() == {"method": "POST", "target": "/some/target", "body": '{"a": 1}'}


def test_several_requests_in_one_piece(client):
    client.send(post(b"1", target="/1") + get("/2") + post(b"3", target="/quick3"))
    assert [client.told()["target"] for _ in range(3)] == ["/1", "/2", "/quick3"]


def test_a_slow_answer_holds_back_those_behind_it(client, answers, until):
    client.send(get("/slow1") + get("/2") + post(b"3", target="/quick3") + get("/slow4") + get("/5"))
    until(lambda: answers.requests)
    assert not client.has_data()
    assert [request.target for request in answers.requests] == ["/slow1"]
    answers.go.set()
    assert [client.told()["target"] for _ in range(5)] == ["/slow1", "/2", "/quick3", "/slow4", "/5"]


def test_a_slow_answer_holds_back_no_other_connection(serve, answers):
    connect = serve()
    slow, other = connect(), connect()
    slow.send(get("/slow"))
    other.send(get("/other"))
    assert other.told()["target"] == "/other"
    answers.go.set()
    assert slow.told()["target"] == "/slow"


def test_what_follows_a_close_is_not_answered(client, answers):
    client.send(get("/slow1", "Connection: close"))
    answers.go.set()
    assert client.told()["target"] == "/slow1"
    assert client.has_ended()


def test_a_client_that_sends_no_more_is_answered(client, answers, until):
    client.send(get("/slow"))
    until(lambda: answers.requests)
    client.ends_sending()
    time.sleep(0.05)
    answers.go.set()
    assert client.told()["target"] == "/slow"
    assert client.has_ended()


def test_a_client_that_goes_away_does_no_harm(serve, answers, until):
    connect = serve()
    gone = connect()
    gone.send(get("/slow") + get("/slow/behind") + get("/behind"))
    until(lambda: answers.requests)
    gone.close()
    time.sleep(0.05)
    answers.go.set()
    other = connect()
    other.send(get("/other"))
    assert other.told()["target"] == "/other"


@pytest.mark.parametrize("target", ["/broken", "/broken-later"])
def test_an_answer_that_fails_is_a_500_and_harms_no_other_connection(serve, answers, caplog, target):
    answers.go.set()
    connect = serve()
    client = connect()
    client.send(get(target))
    assert client.head()[0] == 500
    assert "A request could not be answered" in caplog.text
    other = connect()
    other.send(get())
    assert other.head()[0] == 200


def test_head_has_no_body(client):
    client.send(get("/1", method="HEAD") + get("/2"))
    status, headers = client.head()
    assert status == 200
    assert int(headers["content-length"]) > 0
    assert client.told()["target"] == "/2"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_reach_the_answer(client, method):
    client.send(get("/", method=method))
    assert client.told()["method"] == method


# Bodies.


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"", b"bc" * 5000], [], [b"x"] * 300])
def test_chunked_bodies(client, pieces):
    client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
    for piece in filter(None, pieces):
        client.send(f"{len(piece):x};ext=1\r\n".encode() + piece + b"\r\n")
    client.send(b"0\r\n\r\n" + get("/next"))
    assert client.told()["body"] == b"".join(pieces).decode()
    assert client.told()["target"] == "/next"


@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1, 5_000_000])
def test_large_bodies(client, size):
    body = bytes(range(32, 127)) * (size // 95 + 1)
    client.send(post(body[:size]) + get("/quick"))
    assert client.told()["body"] == body[:size].decode()
    assert client.told()["target"] == "/quick"


def test_expected_bodies_are_asked_for(client):
    client.send(get("/", "Expect: 100-continue", "Content-Length: 3", method="POST"))
    assert client.head() == (100, {})
    client.send(b"abc")
    assert client.told()["body"] == "abc"


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_gzip_bodies_are_unpacked(client, size):
    packed = gzip.compress(b"x" * size)
    client.send(post(packed, "Content-Encoding: gzip"))
    assert client.told()["body"] == "x" * size


@pytest.mark.parametrize("body", [b"", b"no gzip", gzip.compress(b"x" * 1000)[:-9], gzip.compress(b"x")[:5]])
def test_bodies_that_are_no_gzip_are_empty(client, body):
    client.send(post(body, "Content-Encoding: gzip"))
    assert client.told()["body"] == ""


def test_a_gzip_body_that_is_too_long_is_empty(client):
    client.send(post(gzip.compress(bytes(100 * 2**20 + 1), 1), "Content-Encoding: gzip"))
    assert client.told()["body"] == ""


# Limits.


def assert_refused(client, status, phrase):
    got, headers, body = client.response()
    assert got == status
    assert (headers["content-type"], headers["connection"]) == ("text/html", "close")
    assert f"<TITLE>{status} {phrase}</TITLE>".encode() in body
    assert client.has_ended()


def test_a_body_up_to_the_limit(serve):
    client = serve(max_body=1000)()
    client.send(post(b"x" * 1000))
    assert len(client.told()["body"]) == 1000


@pytest.mark.parametrize("behind", [b"", get("/behind")])
@pytest.mark.parametrize("sent", [0, 10, 1001])
def test_a_longer_body_is_refused_before_it_comes(serve, answers, sent, behind):
    client = serve(max_body=1000)()
    client.send(get("/", "Content-Length: 1001", method="POST") + b"x" * sent + (behind if sent == 1001 else b""))
    assert_refused(client, 413, "Request Entity Too Large")
    assert answers.requests == []


def test_a_longer_body_in_chunks_is_refused(serve, answers):
    client = serve(max_body=1000)()
    client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
    client.send(b"1f4\r\n" + b"x" * 500 + b"\r\n")
    client.send(b"1f5\r\n" + b"x" * 501 + b"\r\n")
    assert_refused(client, 413, "Request Entity Too Large")
    assert answers.requests == []


def test_a_longer_body_is_not_asked_for(serve, answers):
    client = serve(max_body=1000)()
    client.send(get("/", "Expect: 100-continue", "Content-Length: 1001", method="POST"))
    assert_refused(client, 413, "Request Entity Too Large")
    assert answers.requests == []


@pytest.mark.parametrize("head", [b"GET /" + b"x" * 70_000, get("/", "X: " + "x" * 70_000)[:-2]])
def test_a_head_that_is_too_long_is_refused(client, answers, head):
    client.send(head)
    assert_refused(client, 431, "Request Header Fields Too Large")
    assert answers.requests == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(client, data):
    client.send(data)
    status = client.response()[0]
    assert status in (200, 400) if b"Upgrade" in data else status == 400


def test_a_client_that_does_not_send_its_head_in_time(serve):
    connect = serve(head_seconds=0.0)
    late, idle = connect(), connect()
    late.send(b"GET / HT")
    time.sleep(0.05)
    server = connect.server
    server._loop.call_soon_threadsafe(server._connections.sweep)
    assert late.has_ended()
    idle.send(get("/"))
    assert idle.told()["target"] == "/"


def test_a_connection_on_which_nothing_happens(serve, answers, until):
    connect = serve(idle_seconds=0.0)
    idle, busy = connect(), connect()
    idle.send(get("/"))
    idle.told()
    busy.send(get("/slow"))
    until(lambda: len(answers.requests) == 2)
    time.sleep(0.05)
    server = connect.server
    server._loop.call_soon_threadsafe(server._connections.sweep)
    assert idle.has_ended()
    answers.go.set()
    assert busy.told()["target"] == "/slow"


# The end.


def test_a_drain_lets_running_requests_end(serve, answers, until):
    connect = serve()
    idle, busy = connect(), connect()
    idle.send(get("/"))
    idle.told()
    busy.send(get("/slow"))
    until(lambda: len(answers.requests) == 2)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(connect.server.stop, SOON)
        assert idle.has_ended()
        with pytest.raises(TimeoutError):
            stopping.result(0.05)
        with pytest.raises(ConnectionRefusedError):
            connect()
        answers.go.set()
        status, headers, _ = busy.response()
        assert (status, headers["connection"]) == (200, "close")
        assert busy.has_ended()
        stopping.result(SOON)


def test_a_drain_waits_no_longer_than_it_may(serve, answers, until):
    connect = serve()
    busy = connect()
    busy.send(get("/slow"))
    until(lambda: answers.requests)
    start = time.monotonic()
    connect.server.stop(0.1)
    assert 0.1 <= time.monotonic() - start < 5
