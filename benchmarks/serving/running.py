"""A server that runs, and is asked."""

import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, Self

import grpc
import numpy as np

from benchmarks.serving.loads import ONE, Load, framed, grpc_body, grpc_predictions, rest_body
from benchmarks.serving.processes import cpu_seconds
from benchmarks.serving.programs import KINDS, ROOT, Server

METHOD = "/tensorflow.serving.PredictionService/Predict"

_READY_SECONDS = 120.0

_STOP_SECONDS = 10.0


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
