"""Ports, sockets, sizes and the end of the server: what no recorded answer shows."""

import gzip
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from serving import protos
from serving.manager.core import CoreOptions, ServerCore
from tests.serving.golden.recorded import Program
from tests.serving.golden.server import Server

OURS = Program("showdown-model-server", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)

HALF = ("--model_name=m", "--model_base_path=<MODELS>/half_plus_two")


@pytest.fixture
def serve(tmp_path):
    """Starts a server and waits until it listens."""
    started = []

    def start(*flags, ports=("<GRPC>", "<REST>")):
        server = Server(OURS, {"flags": ["--port=<GRPC>", "--rest_api_port=<REST>", *flags]}, tmp_path)
        started.append(server)
        assert server.start({"expect": {"state": "ready"}}, *ports)["state"] == "ready", server.report()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield listener.getsockname()[1]


def status(target):
    """What GetModelStatus answers at an address."""
    messages = protos.get_model_status
    request = messages.GetModelStatusRequest()
    request.model_spec.name = "m"
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            messages.GetModelStatusRequest.SerializeToString,
            messages.GetModelStatusResponse.FromString,
        )
        return call(request, timeout=20).model_version_status[0].state


@pytest.mark.slow
def test_a_grpc_port_that_is_taken_fails_the_start(tmp_path, taken):
    setup = {"flags": [f"--port={taken}", "--model_name=m", "--model_base_path=<MODELS>/half_plus_two"]}
    with Server(OURS, setup, tmp_path) as server:
        assert server.ends_within(30)
        ended = server.start({"expect": {"state": "exit"}})
    assert ended["exit"] == 255
    assert ended["stdout"].startswith("Failed to start server. Error: UNKNOWN: ")


@pytest.mark.slow
def test_an_http_port_that_is_taken_is_done_without(serve, taken, tmp_path):
    server = serve(*HALF, f"--rest_api_port={taken}", ports=["<GRPC>"])
    assert status(f"127.0.0.1:{server.filled('<GRPC>')}") == 30
    assert not server.ends_within(0.5)
    assert "Failed to start HTTP Server" in (tmp_path / "stderr").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["<BASE>/s.sock", "s.sock"])
def test_a_socket_takes_grpc_with_and_without_a_port(serve, tmp_path, path):
    port = "0" if path == "s.sock" else "<GRPC>"
    server = serve(*HALF, f"--port={port}", f"--grpc_socket_path={path}", ports=["<REST>"])
    assert status(f"unix:{tmp_path}/s.sock") == 30
    with socket.socket() as probe:
        assert (probe.connect_ex(("127.0.0.1", int(server.filled("<GRPC>")))) == 0) is (port != "0")


@pytest.mark.slow
def test_it_listens_on_all_interfaces_and_says_so(serve, tmp_path):
    server = serve(*HALF)
    grpc_port, rest_port = server.filled("<GRPC>"), server.filled("<REST>")
    stderr = (tmp_path / "stderr").read_text()
    assert f"Running gRPC ModelServer at 0.0.0.0:{grpc_port} ..." in stderr
    assert f"Exporting HTTP/REST API at:localhost:{rest_port} ..." in stderr
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", int(grpc_port))) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", int(rest_port))) == 0
    if _has_ipv6():
        with socket.socket(socket.AF_INET6) as probe:
            assert probe.connect_ex(("::1", int(rest_port))) == 0


@pytest.mark.slow
def test_large_requests(serve):
    server = serve(*HALF)
    large = 2_000_000  # 8 MB as a tensor, more than gRPC's own limit of 4 MiB
    tensor = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": str(large)}]}, "float_val": [1.0]}
    request = {"model_spec": {"name": "m"}, "inputs": {"x": tensor}, "output_filter": ["y"]}
    answer = server.ask({"grpc": {"method": "Predict", "request": request}})
    assert answer["code"] == "OK"
    assert len(answer["response"]["outputs"]["y"]["float_val"]) == large

    body = '{"instances": [1.0]' + " " * 20_000_000 + "}"
    assert server.ask({"rest": {"method": "POST", "path": "/v1/models/m:predict", "body": body}})["status"] == 200

    url = f"http://127.0.0.1:{server.filled('<REST>')}/v1/models/m:predict"
    for blanks, status_code, text in (
        (99 * 2**20, 200, b"predictions"),
        (101 * 2**20, 400, b"JSON Parse error: The document is empty"),
    ):
        packed = gzip.compress(b'{"instances": [1.0]' + b" " * blanks + b"}", 1)
        answered, data = _post(url, packed, {"Content-Encoding": "gzip"})
        assert (answered, text in data) == (status_code, True)


@pytest.mark.slow
def test_sigterm_lets_running_calls_end(serve):
    server = serve("--model_name=m", "--model_base_path=<MODELS>/slow")
    call = {"method": "POST", "path": "/v1/models/m:predict", "body": '{"instances": [1000000]}'}
    tensor = {"dtype": "DT_INT64", "tensor_shape": {"dim": [{"size": "1"}]}, "int64_val": ["1000000"]}
    predict = {"method": "Predict", "request": {"model_spec": {"name": "m"}, "inputs": {"us": tensor}}}
    with ThreadPoolExecutor(2) as threads:
        by_rest = threads.submit(server.ask, {"rest": call})
        by_grpc = threads.submit(server.ask, {"grpc": predict})
        threading.Event().wait(0.4)
        server._process.send_signal(signal.SIGTERM)
        assert by_rest.result()["status"] == 200
        assert by_grpc.result()["code"] == "OK"
    assert server.ends_within(10)
    assert server.start({"expect": {"state": "exit"}})["exit"] == 0


def test_the_first_versions_load_at_the_same_time_whatever_num_load_threads_says(tmp_path):
    both = threading.Barrier(2)

    def load(*_):
        both.wait(10)
        return SimpleNamespace(signatures={}, close=lambda: None)

    config = protos.model_server_config.ModelServerConfig()
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        config.model_config_list.config.add(name=name, base_path=str(tmp_path / name), model_platform="tensorflow")
    loader: Any = load
    core = ServerCore(loader, CoreOptions(num_load_threads=0))
    core.reload(config)
    assert core.available() == {"a": 1, "b": 1}
    core.stop()


def _has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def _post(url, body, headers):
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as err:
        with err:
            return err.code, err.read()
