"""Bad starts: each fails, or goes on, as told."""

import contextlib
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.serving.golden.recorded import MODELS
from tests.serving.golden.server import Server
from tests.serving.hostile.target import (
    ONE,
    OURS,
    PORTS,
    PREDICT,
    READY,
    TIMEOUT_S,
    Target,
    good_request,
)

pytestmark = pytest.mark.slow  # starts servers


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
