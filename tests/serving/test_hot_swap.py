"""Versions come and go under traffic: no request fails, waits for a load, or is answered by what is not live."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import grpc
import pytest

from runtimes.tensorflow_protos import import_proto
from serving.crc32c import masked_crc32c
from tests.serving.golden.recorded import MODELS, Program
from tests.serving.golden.server import Server

pytestmark = pytest.mark.slow  # starts servers

OURS = Program("ours", str(Path(sys.executable).with_name("showdown-model-server")), deviates=True)
FLAGS = ["--port=<GRPC>", "--rest_api_port=<REST>", "--max_num_load_retries=0"]
READY = {"expect": {"state": "ready"}}
TIMEOUT_S = 60
LOAD_S = 1.0
"""How long a slow load takes at least."""

NOT_SERVED = -1


def apis(name: str) -> Any:
    return import_proto(f"tensorflow_serving.apis.{name}_pb2")


def kind(version: int) -> int:
    """Which of the three models a version has: 1, 2, 3 answer x / 2 + 2, + 3, + 4."""
    return version % 3 + 1


def publish(base: Path, version: int, records: int = 0) -> None:
    """A version appears by a rename; each of its warm-up records takes a run."""
    part = base / f"{version}.part"
    shutil.copytree(MODELS / "half_plus_two" / str(kind(version)), part)
    if records:
        write_warm_up(part, records)
    part.rename(base / str(version))


def write_warm_up(folder: Path, records: int) -> None:
    log = apis("prediction_log").PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "any"
    fill(request, [1.0] * 100)
    data = log.SerializeToString()
    length = struct.pack("<Q", len(data))
    record = length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
    folder.joinpath("assets.extra").mkdir()
    folder.joinpath("assets.extra", "tf_serving_warmup_requests").write_bytes(record * records)


def withdraw(base: Path, version: int) -> None:
    """A version disappears at once."""
    part = base / f"{version}.gone"
    base.joinpath(str(version)).rename(part)
    shutil.rmtree(part)


def fill(request: Any, values: list[float]) -> None:
    proto = request.inputs["x"]
    proto.dtype = 1
    proto.tensor_shape.dim.add(size=len(values))
    proto.float_val.extend(values)


class Target:
    """A ready server and calls to it. Threads may share it."""

    def __init__(self, server: Server, base: Path) -> None:
        self.server = server
        self.base = base
        self.rest_port = int(server.filled("<REST>"))
        self.address = "127.0.0.1:" + server.filled("<GRPC>")
        self.channel = self.new_channel()
        self._reload = self.channel.unary_unary(
            "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
            lambda message: message.SerializeToString(),
            apis("model_management").ReloadConfigResponse.FromString,
        )
        self._status = self.channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            lambda message: message.SerializeToString(),
            apis("get_model_status").GetModelStatusResponse.FromString,
        )

    def new_channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def reload(self, *models: tuple[str, Path, dict[str, Any]]) -> None:
        request = apis("model_management").ReloadConfigRequest()
        for name, path, more in models:
            request.config.model_config_list.config.add(
                name=name, base_path=str(path), model_platform="tensorflow", **more
            )
        self._reload(request, timeout=TIMEOUT_S)

    def states(self, model: str = "m") -> dict[int, str]:
        """State of each version that there ever was, FAILED where it ended by an error."""
        request = apis("get_model_status").GetModelStatusRequest()
        request.model_spec.name = model
        response = self._status(request, timeout=TIMEOUT_S)
        names = apis("get_model_status").ModelVersionStatus.State.Name
        return {
            one.version: "FAILED" if one.status.error_code else names(one.state)
            for one in response.model_version_status
        }

    def wait_for(self, wanted: dict[int, str], model: str = "m") -> None:
        """Waits until versions are in a state."""
        deadline = time.monotonic() + TIMEOUT_S
        while not wanted.items() <= (states := self.states(model)).items():
            assert time.monotonic() < deadline, (wanted, states, self.server.report())
            time.sleep(0.01)


@contextlib.contextmanager
def started(base: Path, flags: list[str], files: dict[str, str] | None = None) -> Iterator[Target]:
    with Server(OURS, {"flags": [*FLAGS, *flags], "files": files or {}}, base) as server:
        assert server.start(READY, "<GRPC>", "<REST>")["state"] == "ready", server.report()
        target = Target(server, base)
        with target.channel:
            yield target


class Live:
    """When each version may have answered: a time in which it was on its way in or out counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[int, list[list[float]]] = {}

    def begins(self, version: int) -> None:
        with self._lock:
            self._times.setdefault(version, []).append([time.monotonic(), float("inf")])

    def has_ended(self, version: int) -> None:
        with self._lock:
            self._times[version][-1][1] = time.monotonic()

    def was(self, version: int, start: float, end: float) -> bool:
        """Whether a version was live at some moment of a request."""
        with self._lock:
            return any(since <= end and start <= until for since, until in self._times.get(version, []))

    def was_kind(self, number: int, start: float, end: float) -> bool:
        """Whether a version with this answer was."""
        with self._lock:
            versions = [version for version in self._times if kind(version) == number]
        return any(self.was(version, start, end) for version in versions)


Call = Callable[[int], int]
"""Asks for the answer to a number, and gives the kind of the version that answered."""


class Traffic:
    """Threads that ask without a pause until `stop`, and note what went wrong.

    Attributes:
        problems: requests that failed or were answered by a version that was not live.
        done: when each request began and how long it took.
    """

    def __init__(self, target: Target) -> None:
        self.problems: list[str] = []
        self.done: list[tuple[float, float]] = []
        self._target = target
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def slowest(self, start: float, end: float) -> float:
        """Seconds of the slowest request that was under way between two times."""
        return max(took for begun, took in list(self.done) if begun <= end and begun + took >= start)

    def grpc(self, model: str, check: Callable[[int, int, float, float], bool], **spec: Any) -> None:
        """Adds a thread of gRPC requests; ``check`` is given version, kind, start and end of each."""
        self._add(lambda: self._ask_grpc(model, check, spec))

    def rest(self, path: str, check: Callable[[int, float, float], bool], *, stays: bool = True) -> None:
        """Adds a thread of REST requests; ``check`` is given kind, start and end of each."""
        self._add(lambda: self._ask_rest(path, check, stays))

    def _add(self, ask: Callable[[], None]) -> None:
        def run() -> None:
            try:
                ask()
            except (AssertionError, KeyError, OSError, ValueError, http.client.HTTPException) as err:
                self.problems.append(repr(err))

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def _numbers(self) -> Iterator[int]:
        number = 0
        while not self._stopped.is_set():
            number = (number + 1) % 1000
            yield number
            time.sleep(0.001)

    def _ask_grpc(self, model: str, check: Callable[[int, int, float, float], bool], spec: dict[str, Any]) -> None:
        response_class = apis("predict").PredictResponse
        with self._target.new_channel() as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict", None, response_class.FromString)
            for number in self._numbers():
                request = apis("predict").PredictRequest()
                request.model_spec.name = model
                if "version" in spec:
                    request.model_spec.version.value = spec["version"]
                if "label" in spec:
                    request.model_spec.version_label = spec["label"]
                fill(request, [float(number)])
                start = time.monotonic()
                try:
                    response = call(request.SerializeToString(), timeout=TIMEOUT_S)
                except grpc.RpcError as err:
                    self.problems.append(f"{model} {spec}: {err.code()}: {err.details()}")
                    continue
                end = time.monotonic()
                self.done.append((start, end - start))
                version = response.model_spec.version.value
                found = response.outputs["y"].float_val[0] - number / 2 - 1
                if not check(version, int(found), start, end):
                    self.problems.append(f"{model} {spec}: version {version}, kind {found} at {start}")

    def _ask_rest(self, path: str, check: Callable[[int, float, float], bool], stays: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._target.rest_port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            for number in self._numbers():
                start = time.monotonic()
                connection.request("POST", f"/v1/models/{path}:predict", json.dumps({"instances": [number]}))
                with connection.getresponse() as response:
                    status, body = response.status, response.read()
                if not stays:
                    connection.close()
                end = time.monotonic()
                self.done.append((start, end - start))
                if status != 200:
                    self.problems.append(f"{path}: {status} {body!r}")
                    continue
                found = json.loads(body)["predictions"][0] - number / 2 - 1
                if not check(int(found), start, end):
                    self.problems.append(f"{path}: kind {found} at {start}")


def add_latest(traffic: Traffic, live: Live) -> None:
    """Requests to model m without a version, by both protocols."""

    def is_live(version: int, number: int, start: float, end: float) -> bool:
        return number == kind(version) and live.was(version, start, end)

    for _ in range(3):
        traffic.grpc("m", is_live)
    for stays in (True, True, False):
        traffic.rest("m", live.was_kind, stays=stays)


def add_pinned(traffic: Traffic) -> None:
    """Requests to versions 1 and 2 of model p, which stay, by number and by label."""
    traffic.grpc("p", lambda version, number, *_: (version, number) == (1, kind(1)), version=1)
    traffic.grpc("p", lambda version, number, *_: (version, number) == (2, kind(2)), label="stable")
    traffic.rest("p/versions/2", lambda number, *_: number == kind(2))
    traffic.rest("p/labels/stable", lambda number, *_: number == kind(2))


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(10.0, id="short"),
        pytest.param(float(os.environ.get("HOT_SWAP_SECONDS", "120")), id="long", marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(0)
def test_traffic_while_versions_change(seconds, tmp_path):
    m, p, extra = (tmp_path / name for name in ("m", "p", "extra"))
    live = Live()
    live.begins(1)
    publish(m, 1)
    publish(p, 1)
    publish(p, 2)
    publish(extra, 5)
    latest: dict[str, Any] = {}
    every: dict[str, Any] = {"model_version_policy": {"all": {}}}
    pinned = {**every, "version_labels": {"stable": 2}}
    config = "".join(
        f'config {{ name: "{path.name}" base_path: "{path}" model_platform: "tensorflow" {more} }}\n'
        for path, more in ((m, ""), (p, "model_version_policy { all {} }"))
    )
    files = {"models.config": f"model_config_list {{\n{config}}}\n"}
    with started(tmp_path, ["--model_config_file=<BASE>/models.config"], files) as target:
        target.reload(("m", m, latest), ("p", p, pinned))
        with Traffic(target) as traffic:
            add_latest(traffic, live)
            add_pinned(traffic)
            end = time.monotonic() + seconds
            newest, rounds = 1, 0
            while time.monotonic() < end:
                rounds += 1
                # A new version takes the place of the old one.
                newest += 1
                live.begins(newest)
                publish(m, newest)
                publish(p, 10 + rounds)
                target.wait_for({newest: "AVAILABLE", newest - 1: "END"})
                live.has_ended(newest - 1)
                # The newest is withdrawn: the one before comes back.
                live.begins(newest - 1)
                withdraw(m, newest)
                target.wait_for({newest: "END", newest - 1: "AVAILABLE"})
                live.has_ended(newest)
                # Another config: one model more, and both versions of m on demand.
                live.begins(newest)
                publish(m, newest)
                target.reload(("m", m, every), ("p", p, pinned), ("extra", extra, latest))
                assert target.states("extra") == {5: "AVAILABLE"}
                target.wait_for({newest: "AVAILABLE", newest - 1: "AVAILABLE"})
                # And back.
                target.reload(("m", m, latest), ("p", p, pinned))
                target.wait_for({newest: "AVAILABLE", newest - 1: "END"})
                live.has_ended(newest - 1)
                target.wait_for({5: "END"}, "extra")
                withdraw(m, newest - 1)
                withdraw(p, 10 + rounds)
        assert traffic.problems == []
        assert rounds >= 2
        assert len(traffic.done) > 100 * seconds
        assert target.server.is_alive


def load_seconds(target: Target, version: int, begin: Callable[[], None], model: str = "m") -> tuple[float, float]:
    """When a load that ``begin`` causes began and ended, as the states tell."""
    begin()
    deadline = time.monotonic() + TIMEOUT_S
    start = None
    while True:
        with contextlib.suppress(grpc.RpcError):  # a model that is not there yet
            state = target.states(model).get(version)
            if state == "LOADING" and start is None:
                start = time.monotonic()
            if state == "AVAILABLE":
                assert start is not None, "the load was too quick to be seen"
                return start, time.monotonic()
        assert time.monotonic() < deadline, target.server.report()
        time.sleep(0.01)


def test_no_request_waits_for_a_load(tmp_path):
    """The load is a thousand warm-up records, each replayed often, on the server's own processor time."""
    m, other = tmp_path / "m", tmp_path / "other"
    live = Live()
    live.begins(1)
    publish(m, 1)
    publish(other, 7, records=1000)
    flags = ["--model_name=m", f"--model_base_path={m}", "--num_request_iterations_for_warmup=100"]
    with started(tmp_path, flags) as target, Traffic(target) as traffic:
        add_latest(traffic, live)
        time.sleep(0.3)
        live.begins(2)
        loads = [load_seconds(target, 2, lambda: publish(m, 2, records=1000))]
        # The reload waits for its new model, nobody else does.
        reload = threading.Thread(target=target.reload, args=(("m", m, {}), ("other", other, {})))
        loads.append(load_seconds(target, 7, reload.start, "other"))
        reload.join()
        traffic.stop()
    assert traffic.problems == []
    for start, end in loads:
        assert end - start > LOAD_S
        assert traffic.slowest(start, end) < (end - start) / 4


def cut_off(folder: Path) -> None:
    data = folder.joinpath("saved_model.pb").read_bytes()
    folder.joinpath("saved_model.pb").write_bytes(data[: len(data) // 2])


def bad_warm_up(folder: Path) -> None:
    folder.joinpath("assets.extra").mkdir()
    folder.joinpath("assets.extra", "tf_serving_warmup_requests").write_bytes(b"\xff" * 100)


def test_a_corrupt_version_never_displaces_the_good_one(tmp_path):
    m = tmp_path / "m"
    live = Live()
    live.begins(1)
    publish(m, 1)
    damages: list[Callable[[Path], object]] = [
        lambda folder: folder.joinpath("saved_model.pb").write_bytes(b"\xff" * 1000),
        lambda folder: folder.joinpath("saved_model.pb").write_bytes(b""),
        lambda folder: folder.joinpath("saved_model.pb").unlink(),
        cut_off,
        bad_warm_up,
    ]
    with started(tmp_path, ["--model_name=m", f"--model_base_path={m}"]) as target, Traffic(target) as traffic:
        add_latest(traffic, live)
        for version, damage in enumerate(damages, 2):
            part = m / "part"
            shutil.copytree(MODELS / "half_plus_two" / "2", part)
            damage(part)
            part.rename(m / str(version))
            target.wait_for({version: "FAILED", 1: "AVAILABLE"})
        m.joinpath("20").write_text("no folder")
        target.wait_for({20: "FAILED", 1: "AVAILABLE"})
        time.sleep(0.3)
        live.begins(21)
        publish(m, 21)
        target.wait_for({21: "AVAILABLE", 1: "END"})
        live.has_ended(1)
        time.sleep(0.3)
        traffic.stop()
    assert traffic.problems == []


def predict_kind(target: Target) -> int:
    """Kind of the version of m that answers a REST request, `NOT_SERVED` for an error."""
    connection = http.client.HTTPConnection("127.0.0.1", target.rest_port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/models/m:predict", b'{"instances": [0]}')
        with connection.getresponse() as response:
            body = response.read()
            return int(json.loads(body)["predictions"][0]) - 1 if response.status == 200 else NOT_SERVED


def test_a_kill_in_the_middle_of_a_load(tmp_path):
    """On the same ports and the same folder, the next server answers with the version that was loading."""
    m = tmp_path / "m"
    publish(m, 1)
    flags = ["--model_name=m", f"--model_base_path={m}", "--num_request_iterations_for_warmup=25"]
    with started(tmp_path, flags) as target:
        assert predict_kind(target) == kind(1)
        publish(m, 2, records=1000)
        target.wait_for({2: "LOADING"})
        before = sorted((path, path.stat().st_size) for path in m.rglob("*"))
        os.kill(target.server._process.pid, signal.SIGKILL)
        assert target.server.ends_within(TIMEOUT_S)
        ports = [f"--port={target.server.filled('<GRPC>')}", f"--rest_api_port={target.rest_port}"]
    with Server(OURS, {"flags": [*ports, *flags]}, tmp_path) as server:  # killed while it starts
        assert server.start({"seconds": 0.8, "expect": {"state": "waiting"}}, "<GRPC>")["state"] == "waiting"
    assert sorted((path, path.stat().st_size) for path in m.rglob("*")) == before
    with Server(OURS, {"flags": [*ports, *flags]}, tmp_path) as server:
        target.server = server
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionError):
                assert predict_kind(target) == kind(2)
                break
            time.sleep(0.1)
        assert server.is_alive, server.report()
