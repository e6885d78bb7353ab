"""`showdown serve`: the real server, started as a user starts it."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from contract.errors import Code, StatusError
from runtimes.tensorflow_protos import import_proto
from serving.client import Client
from tests.serving.golden.server import free_ports

pytestmark = pytest.mark.slow  # TensorFlow's libraries

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests/golden/tf_serving/models/half_plus_two"
ASK = b'{"instances": [2.0]}'


class Served:
    """A running `showdown serve`."""

    def __init__(self, process: "subprocess.Popen[str]", grpc_port: int, rest_port: int) -> None:
        self.process = process
        self.grpc_port, self.rest_port = grpc_port, rest_port
        self.grpc = f"127.0.0.1:{grpc_port}"
        self.rest = f"http://127.0.0.1:{rest_port}"

    def get(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"{self.rest}{path}", data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as err:
            with err:
                return err.code, err.read().decode()

    def wait_for(self, path: str, status: int, seconds: float = 20.0) -> str:
        """Asks until the status comes."""
        end = time.monotonic() + seconds
        while True:
            try:
                found, text = self.get(path)
            except OSError:
                found, text = 0, "nobody listens"
            if found == status:
                return text
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, (found, text)
            time.sleep(0.05)


@contextmanager
def serving(*arguments: str | Path, ready: int = 200) -> Iterator[Served]:
    """The server, ready, and ended with the block."""
    ports = free_ports()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "cli.main",
            "serve",
            *map(str, arguments),
            f"--port={ports[0]}",
            f"--rest_api_port={ports[1]}",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    served = Served(process, *ports)
    try:
        served.wait_for("/readyz", ready)
        yield served
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def build(tmp_path) -> Path:
    """A build folder with one servable in version 1."""
    folder: Path = tmp_path / "build"
    shutil.copytree(MODEL / "1", folder / "serving/half/1")
    return folder


def publish(build: Path, version: int, servable: str = "half") -> None:
    """Copies a version in, as an export publishes it."""
    folder = build / "serving" / servable
    shutil.copytree(MODEL / str(version), folder / ".new")
    (folder / ".new").rename(folder / str(version))


def test_the_build_folder_is_served_on_loopback_and_what_is_published_later_too(build):
    with serving("--build-dir", build) as served:
        assert json.loads(served.get("/v1/models/half:predict", ASK)[1]) == {"predictions": [3.0]}
        publish(build, 2)
        shutil.copytree(MODEL / "3", build / "serving/other/3")
        end = time.monotonic() + 20
        while json.loads(served.get("/readyz")[1])["models"] != {"half": 2, "other": 3}:
            assert time.monotonic() < end
            time.sleep(0.1)
        with Client(served.grpc) as client:
            assert client.predict([2.0], model="half")["y"].tolist() == [4.0]
        listening = Path("/proc/net/tcp").read_text()
        assert f"0100007F:{served.rest_port:04X} 00000000:0000 0A" in listening  # 127.0.0.1, and nothing else
        assert f"00000000:{served.rest_port:04X} 00000000:0000 0A" not in listening


def test_a_model_that_cannot_be_loaded_is_its_own_fault_alone(build):
    broken = build / "serving/broken/1"
    shutil.copytree(MODEL.parent / "broken/2", broken)
    with serving("--build-dir", build, "--max_num_load_retries=0", ready=503) as served:
        assert json.loads(served.get("/readyz")[1]) == {
            "ready": False,
            "draining": False,
            "models": {"broken": None, "half": 1},
        }
        assert served.get("/healthz") == (200, "ok\n")
        assert served.get("/v1/models/half:predict", ASK)[0] == 200
        assert "DATA_LOSS" in served.get("/")[1]
        shutil.copy(MODEL / "1/saved_model.pb", broken / "saved_model.pb")
        served.wait_for("/readyz", 200)
        assert served.get("/v1/models/broken:predict", ASK)[0] == 200


def test_a_version_whose_files_are_not_what_its_manifest_says_is_refused_and_the_old_one_stays(showdown, tmp_path):
    build = tmp_path / "build"
    done = showdown("export", "or_gate", "--build-dir", build, "--recipes", "float32")
    assert done.returncode == 0, done.stderr
    name = "or_gate_keras"
    folder = build / "serving" / name
    with serving("--build-dir", build, "--require_manifest", "--max_num_load_retries=0") as served:
        shutil.copytree(folder / "1", folder / ".new")
        with (folder / ".new/saved_model.pb").open("ab") as file:
            file.write(b"\0")
        (folder / ".new").rename(folder / "2")
        end = time.monotonic() + 20
        while "DATA_LOSS" not in (status := served.get(f"/v1/models/{name}")[1]):
            assert time.monotonic() < end, status
            time.sleep(0.1)
        assert "saved_model.pb" in status
        assert json.loads(served.get("/readyz")[1])["models"][name] == 1


def test_a_token_is_wanted_by_both_faces_and_health_needs_none(build, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    with serving("--build-dir", build, "--token_file", tmp_path / "token") as served:
        assert served.get("/v1/models/half:predict", ASK)[0] == 401
        assert served.get("/v1/models/half:predict", ASK, Authorization="Bearer wrong")[0] == 401
        assert served.get("/v1/models/half:predict", ASK, Authorization="Bearer s3cret")[0] == 200
        assert served.get("/")[0] == 401
        with Client(served.grpc, token="s3cret") as client:
            assert client.predict([2.0], model="half")["y"].tolist() == [3.0]
        with Client(served.grpc) as client, pytest.raises(StatusError) as refused:
            client.predict([2.0], model="half")
        assert refused.value.code is Code.UNAUTHENTICATED
        health = import_proto("grpc_health.v1.health_pb2")
        with grpc.insecure_channel(served.grpc) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                health.HealthCheckRequest.SerializeToString,
                health.HealthCheckResponse.FromString,
            )
            assert check(health.HealthCheckRequest(), timeout=5).status == health.HealthCheckResponse.SERVING


def test_https(build, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    ports = free_ports()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "cli.main", "serve", "--build-dir", build, f"--port={ports[0]}"),
            *(f"--rest_api_port={ports[1]}", "--tls_cert", tmp_path / "cert.pem", "--tls_key", tmp_path / "key.pem"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any("Ready in" in line for line in process.stdout)
        trusted = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        with urllib.request.urlopen(f"https://127.0.0.1:{ports[1]}/readyz", context=trusted, timeout=10) as answer:
            assert answer.status == 200
    finally:
        process.terminate()
        process.communicate()


def test_a_request_that_is_too_large_is_refused_by_both_faces(build):
    with serving("--build-dir", build, "--max_request_mb", "1") as served:
        status, page = served.get("/v1/models/half:predict", b'{"instances": [' + b"1.0," * 300_000 + b"1.0]}")
        assert status == 413, page
        with Client(served.grpc) as client, pytest.raises(StatusError) as refused:
            client.predict([2.0] * 300_000, model="half")
        assert refused.value.code is Code.RESOURCE_EXHAUSTED
        assert served.get("/v1/models/half:predict", ASK)[0] == 200


def test_running_calls_end_before_the_server_does(build):
    shutil.copytree(MODEL.parent / "slow/1", build / "serving/slow/1")
    with serving("--build-dir", build) as served, Client(served.grpc, timeout=20) as client:
        client.predict([1], model="slow")  # the signature is known
        answers: list[Any] = []
        call = threading.Thread(target=lambda: answers.append(client.predict([1_500_000], model="slow")))
        call.start()
        time.sleep(0.4)
        served.process.terminate()
        call.join()
        assert answers[0]["slept"].tolist() == [1_500_000]
        assert served.process.wait(10) == 0


def test_workers_share_the_ports_and_one_that_dies_is_started_anew(build):
    with serving("--build-dir", build, "--workers", "2") as served:
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
        assert len(children) == 2
        time.sleep(5.5)  # a worker that ends before is taken for one that cannot start
        os.kill(int(children[0]), signal.SIGKILL)
        served.wait_for("/readyz", 200)
        end = time.monotonic() + 20
        while len(
            now := Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
        ) < 2 or (children[0] in now):
            assert time.monotonic() < end
            time.sleep(0.1)
        management = import_proto("tensorflow_serving.apis.model_management_pb2")
        request = management.ReloadConfigRequest()
        request.config.model_config_list.SetInParent()
        with grpc.insecure_channel(served.grpc) as channel:
            reload = channel.unary_unary(
                "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
                management.ReloadConfigRequest.SerializeToString,
                management.ReloadConfigResponse.FromString,
            )
            with pytest.raises(grpc.RpcError) as refused:
                reload(request, timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        served.process.terminate()
        assert served.process.wait(20) == 0


def test_a_port_that_is_in_use_is_one_line(showdown, build):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = free_ports()[0]
        for flags in (
            [f"--port={port}", f"--rest_api_port={free}"],
            [f"--port={free}", f"--rest_api_port={port}"],
            [f"--port={port}", f"--rest_api_port={free}", "--workers=2"],
        ):
            done = showdown("serve", "--build-dir", build, *flags)
            assert done.returncode == 1
            last = done.stderr.splitlines()[-1]
            assert last.startswith("showdown: error: ")
            assert str(port) in last
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--por=1"], "unknown flag --por=1; did you mean --port?"),
        (["--port=x"], "Couldn't interpret value x for flag port."),
        (["--port"], "--port wants a value: --port=..."),
        (["something"], "unknown flag something"),
        (["--token_file", "/nowhere"], "/nowhere: the token cannot be read: No such file or directory"),
        (["--tls_cert", "/nowhere"], "--tls_cert and --tls_key go together"),
        (["--engine", "binary"], "tensorflow_model_server is not on PATH"),
    ],
)
def test_a_mistake_is_one_line_and_says_what_to_do(showdown, build, arguments, message):
    if "binary" in arguments and shutil.which("tensorflow_model_server"):
        pytest.skip("tensorflow_model_server is on PATH")
    done = showdown("serve", "--build-dir", build, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("showdown: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_the_original_dies_of_is_one_line(showdown, build, tmp_path):
    (tmp_path / "batching").write_text("max_batch_size { value: 0 }\n")
    for flags, message in (
        (["--enable_batching", f"--batching_parameters_file={tmp_path}/batching"], "max_batch_size must be positive"),
        ([f"--ssl_config_file={tmp_path}/none"], "none; No such file or directory"),
    ):
        done = showdown("serve", "--build-dir", build, *flags)
        assert done.returncode == 1
        assert message in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_nothing_published_is_said_with_the_remedy(showdown, tmp_path):
    done = showdown("serve", "--build-dir", tmp_path)
    assert done.returncode == 2
    assert "nothing is published there; run make export" in done.stderr


def test_a_typo_in_a_config_is_told_with_line_and_column(showdown, tmp_path):
    (tmp_path / "models.config").write_text('model_config_list {\n  config { nam: "x" }\n}\n')
    done = showdown("serve", "--model_config_file", tmp_path / "models.config")
    assert done.returncode == 1
    assert "2:12" in done.stderr


def test_the_real_server_is_started_where_it_is_on_path_with_a_stand_in(build, tmp_path):
    stand_in = tmp_path / "bin/tensorflow_model_server"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\necho "$@"\n')
    stand_in.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "serve", "--build-dir", build, "--enable_batching"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{stand_in.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tensorflow_model_server is on PATH: starting it" in done.stdout
    config = build.absolute() / "serving/models.config"
    assert done.stdout.splitlines()[-1] == f"--rest_api_port=8501 --enable_batching=true --model_config_file={config}"


def test_docker_prints_the_command_of_the_official_image(showdown, build):
    done = showdown("serve", "--build-dir", build, "--engine", "docker")
    assert done.returncode == 0
    assert done.stdout.startswith("docker run --rm -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 -v ")
    assert done.stdout.endswith(" tensorflow/serving --model_config_file=/models/models.container.config\n")
