"""Many and slow connections."""

import contextlib
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.serving.hostile.target import (
    PREDICT,
    TIMEOUT_S,
    answers,
    good_request,
    request_bytes,
)

pytestmark = pytest.mark.slow  # starts servers


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
