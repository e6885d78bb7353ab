"""How fast `showdown-model-server` answers, against Python servers that people write, and TensorFlow Serving itself.

``.venv/bin/python benchmarks/serving.py --write --json samples.json``

All servers have the SavedModel of ``make export`` and run side by side; one at a time is under load. A round goes
through the loads, and for each load through the servers in a shuffled order:

* REST, by wrk: showdown-model-server, examples/flask under gunicorn, FastAPI under uvicorn, TensorFlow Serving
* gRPC, by h2load: showdown-model-server, grpcio around TensorFlow's Python, an empty grpcio handler (the floor),
  TensorFlow Serving
"""

import argparse
import http.client
import importlib.metadata
import json
import math
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, this folder is on the path and not the one above

import grpc  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.export import machine  # noqa: E402
from serving.protos import predict  # noqa: E402

MODEL = "or_gate_pytorch"
BASE = ROOT / "build" / "serving" / MODEL
PEERS = ROOT / "build" / "peers-venv"
REQUIREMENTS = ROOT / "benchmarks" / "serving_peers" / "requirements.txt"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN = "<!-- figures of benchmarks/serving.py -->"
END = "<!-- end of the figures -->"

OURS = "showdown-model-server"
FLASK = "Flask, gunicorn"
FASTAPI = "FastAPI, uvicorn"
GRPCIO = "grpcio, TensorFlow"
FLOOR = "grpcio, empty handler"
TF_SERVING = "TensorFlow Serving"
PEERS_OF = {"REST": (FLASK, FASTAPI), "gRPC": (GRPCIO,)}

LIBRARIES = ("tensorflow", "grpcio", "numpy")
METHOD = "/tensorflow.serving.PredictionService/Predict"
WORKERS = 2
_READY_SECONDS = 120.0
_STOP_SECONDS = 10.0
_BUSY = 0.25
"""Load average for each core above which a line says that others work here."""
_TICKS = os.sysconf("SC_CLK_TCK")
_FLOAT = 1  # DT_FLOAT
_T = TypeVar("_T")

_WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nwrk={{"requests": %d, "us": %d, "p50": %f, "p99": %f, "errors": {{"connect": %d, "read": %d, "write": %d, ' ..
    '"timeout": %d, "status other than 2xx": %d}}}}\\n', summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.connect, e.read, e.write, e.timeout, e.status))
end
"""
"""Posts one body over and over; the last line that is printed is the result, in microseconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked, and over how many connections."""

    name: str
    rows: int
    connections: int

    def inputs(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The truth table of two inputs with noise, so that a number in JSON has the digits of a real one."""
        rng = np.random.default_rng(0)
        return (rng.integers(0, 2, (self.rows, 2)) + rng.normal(0, 0.1, (self.rows, 2))).astype(np.float32)


ONE = Load("1 connection", 1, 1)
SIXTEEN = Load("16 connections", 1, 16)
BATCH = Load("[5000, 2], 1 connection", 5000, 1)
LOADS = (ONE, SIXTEEN, BATCH)
KINDS = ("REST", "gRPC")


@dataclass(frozen=True, slots=True)
class Server:
    """How a server is started, and where it answers.

    Args:
        command: gives the command line from a REST port and a gRPC port, of which it may use one.
        rest: the path of its REST predict, empty where it has none.
        has_answer: False where the answer has no numbers.
    """

    name: str
    command: Callable[[int, int], Sequence[str | Path]]
    rest: str = ""
    grpc: bool = False
    has_answer: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)

    def kinds(self) -> tuple[str, ...]:
        """``REST``, ``gRPC`` or both."""
        return tuple(kind for kind, has in zip(KINDS, (self.rest, self.grpc), strict=True) if has)


@dataclass(frozen=True, slots=True)
class Result:
    """What a load generator saw; latencies in milliseconds."""

    requests: int
    requests_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process tree, in bytes; pss is None where the kernel does not tell."""

    rss: int
    anonymous: int
    pss: int | None


def servers(version: Path) -> list[Server]:
    """Those that this machine has; TensorFlow Serving is among them where it is on PATH."""
    bin_ = Path(sys.executable).parent
    python = {"MODEL": str(version), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}

    def model_server(program: str | Path) -> Callable[[int, int], Sequence[str | Path]]:
        flags = (f"--model_name={MODEL}", f"--model_base_path={BASE}")
        return lambda rest, grpc_: [program, f"--port={grpc_}", f"--rest_api_port={rest}", *flags]

    def peer(module: str) -> Callable[[int, int], Sequence[str | Path]]:
        return lambda _, grpc_: [sys.executable, "-m", f"benchmarks.serving_peers.{module}", str(grpc_)]

    def gunicorn(rest: int, _: int) -> Sequence[str | Path]:
        options = (f"--bind=127.0.0.1:{rest}", f"--workers={WORKERS}", "--threads=4", "--timeout=120")
        return [PEERS / "bin/gunicorn", *options, "benchmarks.serving_peers.flask_app:app"]

    def uvicorn(rest: int, _: int) -> Sequence[str | Path]:
        options = (f"--port={rest}", f"--workers={WORKERS}", "--no-access-log", f"--app-dir={ROOT}")
        return [PEERS / "bin/uvicorn", *options, "benchmarks.serving_peers.fastapi_app:app"]

    path = f"/v1/models/{MODEL}:predict"
    found = [
        Server(OURS, model_server(bin_ / OURS), rest=path, grpc=True),
        Server(FLASK, gunicorn, rest="/predict/tensorflow", environment=python),
        Server(FASTAPI, uvicorn, rest="/predict", environment=python),
        Server(GRPCIO, peer("grpc_tensorflow"), grpc=True, environment=python),
        Server(FLOOR, peer("grpc_floor"), grpc=True, has_answer=False),
    ]
    if theirs := shutil.which("tensorflow_model_server"):
        found.append(Server(TF_SERVING, model_server(theirs), rest=path, grpc=True))
    return found


# The environment of the peers


def install_peers() -> None:
    """Makes ``build/peers-venv``: requirements.txt of the peers, and behind it all that the project has."""
    stamp = PEERS / "stamp"
    ours = sysconfig.get_path("purelib")
    wanted = f"{sys.executable}\n{ours}\n{REQUIREMENTS.read_text(encoding='utf-8')}"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    tell("installing the peers into build/peers-venv/")
    uv = ROOT / "scripts" / "uv"
    target = PEERS / "bin" / "python"
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, PEERS],
        [uv, "pip", "install", "--quiet", "--python", target, "--compile-bytecode", "--requirements", REQUIREMENTS],
    ]
    for command in commands:
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            raise SystemExit(f"the peers could not be installed, exit status {status}: {' '.join(map(str, command))}")
    [site] = PEERS.glob("lib/python*/site-packages")
    (site / "showdown.pth").write_text(f"import site; site.addsitedir({ours!r})\n", encoding="utf-8")
    stamp.write_text(wanted, encoding="utf-8")


# What the kernel knows of a process tree


def session(leader: int) -> list[Path]:
    """The folders in /proc of a session's processes: a server is started as the leader of its own."""
    return [folder for folder in Path("/proc").glob("[0-9]*") if (found := _stat(folder)) and int(found[3]) == leader]


def _stat(folder: Path) -> list[str]:
    """The fields of ``stat`` behind the command's name, from the state on; none of a process that has ended."""
    try:
        return (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def cpu_seconds(leader: int) -> float:
    """User and system time of a session, of its ended children too."""
    return sum(sum(map(int, _stat(folder)[11:15])) for folder in session(leader)) / _TICKS


def memory(leader: int) -> Memory:
    """Resident memory of a session. Pages that several processes share count in each of them, but for pss."""
    rss = anonymous = pss = 0
    has_pss = True
    for folder in session(leader):
        status = _kilobytes(folder / "status")
        rss += status.get("VmRSS", 0)
        anonymous += status.get("RssAnon", 0)
        try:
            pss += _kilobytes(folder / "smaps_rollup")["Pss"]
        except (OSError, KeyError):
            has_pss = False
    return Memory(rss, anonymous, pss if has_pss else None)


def _kilobytes(path: Path) -> dict[str, int]:
    """The lines ``Name: 12 kB`` of a file of /proc, in bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: int(value) * 1024 for name, value in found}


# Asking


def rest_body(load: Load) -> bytes:
    """Nested JSON, one row an instance, each number in the digits that float32 needs."""
    rows = ", ".join(f"[{', '.join(map(str, row))}]" for row in load.inputs())
    return f'{{"instances": [{rows}]}}'.encode()


def grpc_body(load: Load) -> bytes:
    """A PredictRequest with ``tensor_content``."""
    request = predict.PredictRequest()
    request.model_spec.name = MODEL
    request.model_spec.signature_name = "serving_default"
    tensor = request.inputs["x"]
    tensor.dtype = _FLOAT
    for size in (load.rows, 2):
        tensor.tensor_shape.dim.add().size = size
    tensor.tensor_content = load.inputs().astype("<f4").tobytes()
    serialized: bytes = request.SerializeToString()
    return serialized


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it: not compressed, its length, and itself."""
    return struct.pack(">BI", 0, len(message)) + message


class NoAnswerError(Exception):
    """A server did not answer as it should."""


def ask_rest(port: int, path: str, body: bytes) -> list[float]:
    """The predictions, flat.

    Raises:
        NoAnswerError: the server does not answer, or not with predictions.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as err:
        raise NoAnswerError(f"POST {path}: {err}") from err
    finally:
        connection.close()
    if response.status != 200:
        raise NoAnswerError(f"POST {path}: {response.status}, {text[:200]!r}")
    try:
        return [float(value) for row in json.loads(text)["predictions"] for value in row]
    except (ValueError, TypeError, KeyError) as err:
        raise NoAnswerError(f"POST {path}: 200, {text[:200]!r}") from err


def ask_grpc(port: int, body: bytes) -> bytes:
    """The answer's bytes.

    Raises:
        NoAnswerError: the server does not answer, or with another status than OK.
    """
    # Of the channels that a process has open, those to one address share a connection and the time it waits to retry.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        try:
            answer: bytes = channel.unary_unary(METHOD)(body, timeout=30)
        except grpc.RpcError as err:
            raise NoAnswerError(f"{METHOD}: {err}") from err
    return answer


def grpc_predictions(answer: bytes) -> list[float]:
    """The numbers in a PredictResponse."""
    output = predict.PredictResponse.FromString(answer).outputs["y"]
    if output.tensor_content:
        return [float(value) for value in np.frombuffer(output.tensor_content, "<f4")]
    count: int = math.prod(dim.size for dim in output.tensor_shape.dim)
    values: list[float] = [float(value) for value in output.float_val]
    return values + values[-1:] * (count - len(values))  # the last value stands for all that follow it


def is_open(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# A server that runs


class Running:
    """A server's processes: ended at the end of the ``with``, and by a watchdog when this process ends otherwise."""

    def __init__(self, server: Server, scratch: Path) -> None:
        self.server = server
        self.ports = dict(zip(KINDS, (free_port(), free_port()), strict=True))
        self.log = Path(tempfile.mkstemp(prefix="server-", suffix=".log", dir=scratch)[1])
        # Whoever starts a server twice has bytecode of all its modules.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        command = [str(part) for part in server.command(self.ports["REST"], self.ports["gRPC"])]
        with self.log.open("wb") as log:
            self._started = time.perf_counter()
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment | dict(server.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        # Its input ends with this process, however that ends.
        self._watchdog = subprocess.Popen(
            ["sh", "-c", 'read -r _; kill -KILL "-$0" 2>/dev/null', str(self.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            assert self._watchdog.stdin is not None
            self._watchdog.stdin.close()
            self._watchdog.wait()
            self._process.kill()
            self._process.wait()

    def wait_until_ready(self) -> float:
        """Seconds from the start to a good answer at every port."""
        for kind in self.server.kinds():
            while True:
                if self._process.poll() is not None:
                    self.fail(f"ended with exit status {self._process.returncode}")
                try:
                    if is_open(self.ports[kind]):
                        self.check(kind, ONE)
                        break
                except NoAnswerError as err:
                    problem: object = err
                else:
                    problem = "nobody listens"
                if time.perf_counter() - self._started > _READY_SECONDS:
                    self.fail(f"has no answer after {_READY_SECONDS:.0f} s: {problem}")
                time.sleep(0.003)
        return time.perf_counter() - self._started

    def wait_until_idle(self) -> None:
        """Until every worker has loaded its model: less than a tenth of a core in a second."""
        ends = time.perf_counter() + _READY_SECONDS
        while time.perf_counter() < ends:
            before = cpu_seconds(self.pid)
            time.sleep(1.0)
            if cpu_seconds(self.pid) - before < 0.1:
                return
        self.fail(f"is still busy after {_READY_SECONDS:.0f} s without a request")

    def answer(self, kind: str, load: Load) -> tuple[list[float], int]:
        """The numbers of an answer, and the bytes of its message."""
        if kind == "REST":
            return ask_rest(self.ports[kind], self.server.rest, rest_body(load)), 0
        answer = ask_grpc(self.ports[kind], grpc_body(load))
        return grpc_predictions(answer) if self.server.has_answer else [], len(framed(answer))

    def check(self, kind: str, load: Load) -> tuple[list[float], int]:
        """`answer`, with a number for each row.

        Raises:
            NoAnswerError: without.
        """
        values, size = self.answer(kind, load)
        wanted = load.rows if self.server.has_answer else 0
        if len(values) != wanted or not np.isfinite(values).all():
            raise NoAnswerError(f"{wanted} numbers were wanted, the answer has {len(values)}: {values[:3]}")
        return values, size

    def fail(self, problem: str) -> NoReturn:
        """Ends the benchmark.

        Raises:
            SystemExit: always.
        """
        log = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-15:]
        raise SystemExit("\n".join([f"{self.server.name} {problem}", *(f"  | {line}" for line in log)]))


def check_agreement(running: Iterable[Running], load: Load) -> None:
    """Every server gives the numbers of the first: they run one model.

    Raises:
        SystemExit: one does not.
    """
    wanted: list[float] = []
    for one in running:
        for kind in one.server.kinds() if one.server.has_answer else ():
            try:
                values, _ = one.check(kind, load)
            except NoAnswerError as err:
                one.fail(f"does not answer {load.name} over {kind}: {err}")
            wanted = wanted or values
            # A batch takes other kernels than a row, and decimals may have float32's nine digits only.
            if not np.allclose(values, wanted, rtol=1e-5, atol=1e-6):
                one.fail(f"answers {load.name} over {kind} with other numbers: {values[:3]}, not {wanted[:3]}")


# Load generators


def parse_wrk(output: str) -> Result:
    """The result that our script for wrk prints.

    Raises:
        ValueError: there is none, or it has errors.
    """
    found = re.search(r"^wrk=(.*)$", output, re.MULTILINE)
    if not found:
        raise ValueError(f"wrk printed no result: {output.strip()[-500:]}")
    result = json.loads(found[1])
    if wrong := {name: count for name, count in result["errors"].items() if count}:
        raise ValueError(f"wrk saw errors in {result['requests']} requests: {_counts(wrong)}")
    if not result["requests"]:
        raise ValueError("wrk had no answer")
    seconds = result["us"] / 1e6
    return Result(result["requests"], result["requests"] / seconds, result["p50"] / 1000, result["p99"] / 1000)


def parse_h2load(output: str, log: str, answer_bytes: int) -> Result:
    """The result of h2load, whose summary has no percentiles: they are of its log.

    Args:
        output: what it printed.
        log: its log file: start, status and microseconds of each request.
        answer_bytes: length of a good answer's message. The status of gRPC is in trailers, which h2load does not read.

    Raises:
        ValueError: there is no result, or it has errors.
    """
    requests = re.search(r"^requests: .*", output, re.MULTILINE)
    seconds = re.search(r"^finished in ([\d.]+)(m?s|us), ([\d.]+) req/s", output, re.MULTILINE)
    data = re.search(r"^traffic: .*\((\d+)\) data", output, re.MULTILINE)
    codes = re.search(r"^status codes: .*", output, re.MULTILINE)
    if not (requests and seconds and data and codes):
        raise ValueError(f"h2load printed no result: {output.strip()[-500:]}")
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", f"{requests[0]} {codes[0]}")}
    if wrong := {name: counts[name] for name in ("failed", "errored", "timeout", "3xx", "4xx", "5xx") if counts[name]}:
        raise ValueError(f"h2load saw errors in {counts['done']} requests: {_counts(wrong)}")
    if not counts["done"]:
        raise ValueError("h2load had no answer")
    # An answer may be on its way at the end, one a connection: what has come of it counts as data, and not as done.
    if int(data[1]) < counts["done"] * answer_bytes:
        raise ValueError(
            f"h2load had answers with another status than OK: {data[1]} bytes of messages in {counts['done']} answers "
            f"of {answer_bytes} bytes"
        )
    times = sorted(int(line.split("\t")[2]) for line in log.splitlines())
    return Result(counts["done"], float(seconds[3]), percentile(times, 50) / 1000, percentile(times, 99) / 1000)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def generate(running: Running, kind: str, load: Load, seconds: int, scratch: Path, answer_bytes: int) -> Result:
    """Runs the load generator of a kind.

    Raises:
        ValueError: an answer was no good one.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        body, script, log = folder / "body", folder / "post.lua", folder / "log"
        url = f"http://127.0.0.1:{running.ports[kind]}"
        options = ["-t1", f"-c{load.connections}"]
        if kind == "REST":
            body.write_bytes(rest_body(load))
            script.write_text(_WRK.format(body=body), encoding="utf-8")
            options += [f"-d{seconds}s", "--timeout=30s", f"-s{script}"]
            command = ["wrk", *options, url + running.server.rest]
        else:
            body.write_bytes(framed(grpc_body(load)))
            headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
            options += [f"-D{seconds}", "-m1", f"-d{body}", f"--log-file={log}", *headers]
            command = ["h2load", *options, url + METHOD]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"{command[0]} ended with exit status {done.returncode}: {done.stderr.strip()}")
        if kind == "REST":
            return parse_wrk(done.stdout)
        return parse_h2load(done.stdout, log.read_text(encoding="utf-8"), answer_bytes)


def measure(running: Running, kind: str, load: Load, seconds: int, scratch: Path) -> dict[str, float]:
    """A second that does not count, and then the sample: `Result`, and the CPU of the server per request."""
    try:
        _, answer_bytes = running.check(kind, load)
        generate(running, kind, load, 1, scratch, answer_bytes)
        before = cpu_seconds(running.pid)
        result = generate(running, kind, load, seconds, scratch, answer_bytes)
        cpu = cpu_seconds(running.pid) - before
        running.check(kind, load)
    except (NoAnswerError, ValueError) as err:
        running.fail(f"under {load.name} over {kind}: {err}")
    return asdict(result) | {"cpu_us": cpu * 1e6 / result.requests}


def run(chosen: Sequence[Server], rounds: int, seconds: int) -> dict[str, Any]:
    """Starts each server ``rounds`` times and once before that does not count; then the loads, round by round."""
    samples: dict[str, Any] = {"ready": {server.name: [] for server in chosen}, "memory": {}, "loads": []}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="showdown-benchmark-")))
        running: list[Running] = []
        for number in range(rounds + 1):
            for server in shuffled(chosen, number):
                with ExitStack() as kept:
                    one = kept.enter_context(Running(server, scratch))
                    ready = one.wait_until_ready()
                    one.wait_until_idle()
                    if number == rounds:
                        stack.push(kept.pop_all())
                        running.append(one)
                tell(f"start {number} of {rounds}{'' if number else ', does not count'}: {server.name} {ready:.2f} s")
                if number:
                    samples["ready"][server.name].append(ready)
        running.sort(key=lambda one: [server.name for server in chosen].index(one.server.name))
        for load in LOADS:
            check_agreement(running, load)
        samples["memory"] = {one.server.name: {"before": asdict(memory(one.pid)), "after": []} for one in running}
        for number, kind, load in product(range(1, rounds + 1), KINDS, LOADS):
            for one in shuffled([one for one in running if kind in one.server.kinds()], number):
                sample = measure(one, kind, load, seconds, scratch)
                tell(
                    f"round {number} of {rounds}: {kind}, {load.name}: {one.server.name} {sample['requests_s']:.0f}/s, "
                    f"p50 {sample['p50_ms']:.2f} ms, p99 {sample['p99_ms']:.2f} ms, CPU {sample['cpu_us']:.0f} µs"
                )
                about = {"round": number, "kind": kind, "load": load.name, "server": one.server.name}
                samples["loads"].append(about | sample)
            if (kind, load) == (KINDS[-1], LOADS[-1]):
                for one in running:
                    samples["memory"][one.server.name]["after"].append(asdict(memory(one.pid)))
    return samples


def shuffled(values: Iterable[_T], number: int) -> list[_T]:
    """The same order whenever it is the same round."""
    ordered = list(values)
    random.Random(number).shuffle(ordered)
    return ordered


def tell(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


# The report


def column(samples: Mapping[str, Any], kind: str, load: Load, server: str, key: str) -> list[float]:
    """A number of each round."""
    wanted = (kind, load.name, server)
    return [row[key] for row in samples["loads"] if (row["kind"], row["load"], row["server"]) == wanted]


def ratio(samples: Mapping[str, Any], kind: str, load: Load, others: Sequence[str]) -> tuple[float, str] | None:
    """Our requests/s to those of the fastest of others, the median of the rounds, and its name; None without others."""
    rates = {name: column(samples, kind, load, name, "requests_s") for name in others}
    rates = {name: values for name, values in rates.items() if values}
    if not rates:
        return None
    best = max(rates, key=lambda name: statistics.median(rates[name]))
    ours = column(samples, kind, load, OURS, "requests_s")
    return statistics.median(a / b for a, b in zip(ours, rates[best], strict=True)), best


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def tables(samples: Mapping[str, Any]) -> list[str]:
    """The medians: of loads, and of starts and memory."""
    header = ["", "load", "server", "requests/s", "p50 ms", "p99 ms", "CPU µs a request"]
    rows: list[list[str]] = []
    for kind, load, server in product(KINDS, LOADS, samples["ready"]):
        rates = column(samples, kind, load, server, "requests_s")
        if not rates:
            continue
        keys = ("p50_ms", "p99_ms", "cpu_us")
        p50, p99, cpu = (statistics.median(column(samples, kind, load, server, key)) for key in keys)
        spread = f" ({min(rates):,.0f} to {max(rates):,.0f})" if len(rates) > 1 else ""
        rate = f"{statistics.median(rates):,.0f}{spread}"
        rows.append([kind, load.name, server, rate, f"{p50:.2f}", f"{p99:.2f}", f"{cpu:,.0f}"])
    lines = table(header, rows)
    header = ["server", "ready s", "resident MB", "of it anonymous MB", "PSS MB"]
    rows = []
    for server, ready in samples["ready"].items():
        after = samples["memory"][server]["after"]
        sizes = (megabytes([one[key] for one in after]) for key in ("rss", "anonymous", "pss"))
        rows.append([server, f"{statistics.median(ready):.2f}", *sizes])
    return [*lines, "", *table(header, rows)]


def megabytes(sizes: Sequence[int | None]) -> str:
    """The median."""
    known = [size for size in sizes if size is not None]
    return f"{statistics.median(known) / 1e6:,.0f}" if known else "unknown"


def ratios(samples: Mapping[str, Any]) -> list[str]:
    """Our requests/s to those of others."""
    header = ("", "load", "× the best Python peer", "× the floor", "× TensorFlow Serving")
    rows = []
    for kind, load in product(KINDS, LOADS):
        row = [kind, load.name]
        for others in (PEERS_OF[kind], (FLOOR,), (TF_SERVING,)):
            found = ratio(samples, kind, load, others)
            is_peer = found is not None and len(others) > 1
            row.append("–" if found is None else f"{found[0]:.2f}{f' ({found[1]})' if is_peer else ''}")
        rows.append(row)
    return table(header, rows)


def aims(samples: Mapping[str, Any]) -> list[str]:
    """What we want to reach, what was measured, and whether that is enough."""
    lines = []

    def add(what: str, measured: float, text: str, *, least: float = -math.inf, most: float = math.inf) -> None:
        lines.append(f"- {what}: {text}, {'met' if least <= measured < most else '**not met**'}")

    for load in (ONE, SIXTEEN, BATCH):
        found = ratio(samples, "REST", load, PEERS_OF["REST"])
        if found:
            add(f"REST, {load.name}: at least 3 × the best Python peer", found[0], f"{found[0]:.2f} ×", least=3)
    batches = statistics.median(column(samples, "REST", BATCH, OURS, "requests_s"))
    add("at least 190 batches of [5000, 2] a second in nested JSON", batches, f"{batches:.0f}", least=190)
    ready = statistics.median(samples["ready"][OURS])
    add("ready in less than 0.9 s", ready, f"{ready:.2f} s", most=0.9)
    resident = statistics.median(one["rss"] for one in samples["memory"][OURS]["after"]) / 1e6
    add("resident memory below 450 MB", resident, f"{resident:.0f} MB", most=450)
    return lines


def report(samples: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """All figures in Markdown, with where and with what they were measured."""
    where = about["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    measured = (
        f"Measured on {where['cores']} cores of {where['cpu'] or 'an unknown CPU'}, {where['platform']}, with "
        f"{versions}; rounds: {about['rounds']}, seconds per measurement: {about['seconds']}, load average before: "
        f"{where['load before']}. A figure is the median of the rounds; a range is from the least to the greatest."
    )
    lines = [
        measured,
        "",
        *tables(samples),
        "",
        "Requests a second of showdown-model-server, as a multiple of others' in the same round:",
        "",
        *ratios(samples),
        "",
    ]
    if TF_SERVING not in samples["ready"]:
        lines += ["TensorFlow Serving was not there: no `tensorflow_model_server` on PATH.", ""]
    return "\n".join([*lines, "Aims:", "", *aims(samples)])


def put_between_markers(page: str, text: str) -> str:
    """The page with its figures replaced.

    Raises:
        ValueError: it does not have the two markers, once each and in their order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"the page needs {BEGIN} and behind it {END}, once each")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def newest_version() -> Path:
    """The folder of the SavedModel that servers pick.

    Raises:
        SystemExit: `make export` has published none.
    """
    found = [folder for folder in BASE.glob("[0-9]*") if folder.name.isdigit()]
    if not found:
        raise SystemExit(f"no SavedModel in {BASE}: run `make export` first")
    return max(found, key=lambda folder: int(folder.name))


def versions_of_peers() -> dict[str, str]:
    """What requirements.txt of the peers pins."""
    return dict(re.findall(r"^([\w-]+)==(\S+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE))


def main() -> None:
    """Measures and prints; saves every sample, and writes the document, where asked to."""
    parser = argparse.ArgumentParser(
        description="Measures showdown-model-server against other servers of one SavedModel."
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="rounds, of which the median counts; default: 3"
    )
    parser.add_argument("--seconds", type=int, default=5, metavar="N", help="length of each measurement; default: 5")
    parser.add_argument("--quick", action="store_true", help="one round of one second: shows that all works, no more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to a JSON file")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    if options.rounds < 1 or options.seconds < 1:
        parser.error("1 is the least for --rounds and --seconds")
    if options.quick and options.write:
        parser.error("the figures of --quick are none for a document: leave --write out")
    if sys.platform != "linux":
        parser.exit(1, "benchmarks/serving.py reads /proc: Linux only\n")
    if missing := [name for name in ("wrk", "h2load") if not shutil.which(name)]:
        parser.exit(1, f"{' and '.join(missing)} not on PATH: apt-get install wrk nghttp2-client\n")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that the servers are ended
    load = os.getloadavg()[0]
    if load > _BUSY * (os.cpu_count() or 1):
        tell(f"the machine is busy, load average {load:.1f}: the figures will be those of a busy machine")
    version = newest_version()
    install_peers()
    chosen = servers(version)
    if TF_SERVING not in {server.name for server in chosen}:
        tell("TensorFlow Serving is left out: no tensorflow_model_server on PATH")
    about = {
        "command": [Path(sys.executable).name, *sys.argv],
        "machine": {**machine(), "load before": round(load, 2)},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
            **versions_of_peers(),
        },
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    samples = run(chosen, options.rounds, options.seconds)
    text = report(samples, about)
    print(text)
    if options.json:
        options.json.write_text(json.dumps({**about, "samples": samples}, indent=2) + "\n", encoding="utf-8")
    if options.write:
        DOCUMENT.write_text(put_between_markers(DOCUMENT.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
