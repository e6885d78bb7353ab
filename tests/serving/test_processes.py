"""The end of a server, and the client beside TensorFlow in one process."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtimes.tensorflow_protos import import_proto
from tests.serving.golden.recorded import Program
from tests.serving.golden.server import Server

pytestmark = pytest.mark.slow  # starts servers

ROOT = Path(__file__).parents[2]
OURS = Program("ours", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)
READY = {"expect": {"state": "ready"}}
PREDICT = "/tensorflow.serving.PredictionService/Predict"
TIMEOUT_S = 60
SLEEP_S = 1.2


@contextlib.contextmanager
def started(base: Path, model: str) -> Iterator[Server]:
    flags = ["--port=<GRPC>", "--rest_api_port=<REST>", f"--model_name={model}", f"--model_base_path=<MODELS>/{model}"]
    with Server(OURS, {"flags": flags}, base) as server:
        assert server.start(READY, "<GRPC>", "<REST>")["state"] == "ready", server.report()
        yield server


def channel_to(server: Server) -> grpc.Channel:
    address = "127.0.0.1:" + server.filled("<GRPC>")
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def sleep_request(seconds: float) -> bytes:
    """Asks model slow to take so long."""
    request = import_proto("tensorflow_serving.apis.predict_pb2").PredictRequest()
    request.model_spec.name = "slow"
    proto = request.inputs["us"]
    proto.dtype = 9
    proto.tensor_shape.dim.add(size=1)
    proto.int64_val.append(int(seconds * 1e6))
    data: bytes = request.SerializeToString()
    return data


def ask_grpc(server: Server, seconds: float) -> str:
    with channel_to(server) as channel:
        try:
            channel.unary_unary(PREDICT)(sleep_request(seconds), timeout=TIMEOUT_S)
        except grpc.RpcError as err:
            return str(err.code().name)
        return "OK"


def ask_rest(server: Server, seconds: float) -> tuple[int, str | None, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.filled("<REST>")), timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/models/slow:predict", json.dumps({"instances": [int(seconds * 1e6)]}))
        with connection.getresponse() as response:
            return response.status, response.getheader("Connection"), json.loads(response.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_calls_end(number, tmp_path):
    with started(tmp_path, "slow") as server, ThreadPoolExecutor(12) as threads, channel_to(server) as old:
        old.unary_unary(PREDICT)(sleep_request(0), timeout=TIMEOUT_S)
        with idle_connection(server) as idle:
            by_grpc = [threads.submit(ask_grpc, server, SLEEP_S) for _ in range(4)]
            by_rest = [threads.submit(ask_rest, server, SLEEP_S) for _ in range(4)]
            time.sleep(SLEEP_S / 3)
            begun = time.monotonic()
            server._process.send_signal(number)
            time.sleep(SLEEP_S / 3)
            assert server.is_alive
            # New calls are refused, on connections that are there and on new ones.
            assert ask_grpc(server, 0) == "UNAVAILABLE"
            with pytest.raises(grpc.RpcError) as refused:
                old.unary_unary(PREDICT)(sleep_request(0), timeout=TIMEOUT_S)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(ConnectionError):
                ask_rest(server, 0)
            assert not any(future.done() for future in by_grpc)
            assert not any(future.done() for future in by_rest)
            assert [future.result() for future in by_grpc] == ["OK"] * 4
            assert {future.result()[:2] for future in by_rest} == {(200, "close")}
            assert server.ends_within(TIMEOUT_S)
            assert time.monotonic() - begun < 10 * SLEEP_S  # idle connections are not waited for
            assert idle.recv(1) == b""
        assert server._process.returncode == 0


def idle_connection(server: Server) -> socket.socket:
    """A connection that has had an answer and stays."""
    connection = socket.create_connection(("127.0.0.1", int(server.filled("<REST>"))), timeout=TIMEOUT_S)
    connection.sendall(b"GET /v1/models/slow HTTP/1.1\r\n\r\n")
    assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
    return connection


def test_a_second_signal_while_it_ends_is_harmless(tmp_path):
    with started(tmp_path, "slow") as server, ThreadPoolExecutor(1) as threads:
        running = threads.submit(ask_grpc, server, SLEEP_S)
        time.sleep(SLEEP_S / 3)
        for _ in range(3):
            server._process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        assert running.result() == "OK"
        assert server.ends_within(TIMEOUT_S)
        assert server._process.returncode == 0


CLIENT = """
import sys
from serving.client import Client
for target in sys.argv[1:]:
    with Client(target, model="half_plus_two") as client:
        assert client.predict([1])["y"].tolist() == [4.5]
"""

KERAS = """
import numpy, tensorflow as tf, keras
assert keras.ops.add(tf.constant([1.0]), 2.0).numpy().tolist() == [3.0]
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
assert model(numpy.ones((1, 2), "float32")).numpy().tolist() == [[2.0]]
"""


@pytest.mark.long  # tests/serving/client/test_processes.py does it with a fake server and without Keras
@pytest.mark.parametrize("program", [CLIENT + KERAS + CLIENT, KERAS + CLIENT], ids=["client first", "Keras first"])
def test_the_client_beside_keras(program, tmp_path):
    with started(tmp_path, "half_plus_two") as server:
        targets = ["127.0.0.1:" + server.filled("<GRPC>"), "http://127.0.0.1:" + server.filled("<REST>")]
        command = [sys.executable, "-c", program, *targets]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
