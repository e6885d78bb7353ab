"""HTTP as it should not be, and as it seldom is."""

import contextlib
import json
import random
import socket

import pytest

from tests.serving.hostile.target import (
    GOOD,
    GOOD_ANSWER,
    PREDICT,
    TIMEOUT_S,
    answers,
    predict_request,
    received,
    request_bytes,
)

pytestmark = pytest.mark.slow  # starts servers


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
