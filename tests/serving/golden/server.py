"""Servers as processes of their own: with free ports, a work folder, and an end whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from tests.serving.golden.client import Client
from tests.serving.golden.comparison import differences
from tests.serving.golden.recorded import MODELS, SETUPS, Case, Json, Program, filled

__all__ = ["Server", "Servers", "free_ports"]

_START_S = 60
"""How long a server may take until it is ready or has exited; only a failing one takes that long."""


class Server:
    """A server process and a client of it."""

    def __init__(self, program: Program, setup: Json, base: Path) -> None:
        """Starts the process and waits for nothing.

        Args:
            program: the executable.
            setup: `flags`, and the `files` to write before.
            base: the work folder, which exists.
        """
        self._base = base
        self._ports = dict(zip(("<GRPC>", "<REST>"), free_ports(), strict=True))
        for name, text in self.filled(setup.get("files", {})).items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_text(text)
        with (base / "stdout").open("wb") as out, (base / "stderr").open("wb") as err:
            self._process = subprocess.Popen(
                [program.path, *self.filled(setup["flags"])],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=base,
                start_new_session=True,
            )
        self._client = Client(*self._ports.values())
        self._is_killed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends the process with its group and closes the client; calls that wait for an answer end."""
        if not self._is_killed:
            self._is_killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._client.close()

    def filled(self, value: Any) -> Any:
        """The JSON value with every placeholder but `<ANY>` replaced."""
        ports = {placeholder: str(port) for placeholder, port in self._ports.items()}
        return filled(value, {"<MODELS>": str(MODELS), "<BASE>": str(self._base), **ports})

    def ask(self, call: Json) -> Json:
        """The answer to a case or a step, in the form of what it expects.

        Raises:
            RuntimeError: the server was killed, so that there is nothing to wait for.
        """
        if self._is_killed:
            raise RuntimeError("the server was killed")
        return self._client.ask(self.filled(call))

    def differences(self, case: Json) -> list[str]:
        """Asks what a case or a step calls, and gives what differs from what it expects."""
        found = differences(self.filled(case), self.ask(case))
        return found if self.is_alive else [*found, self.report()]

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ends_within(self, seconds: float) -> bool:
        """Waits for the end of the process, and says whether it came."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.is_alive

    def start(self, case: Json, *ports: str) -> Json:
        """Waits until the server has started or ended, in the form of what the case or step expects of it.

        Args:
            case: `seconds` is how long to wait where it expects `waiting`.
            ports: `<GRPC>`, `<REST>`: a ready server listens on them.
        """
        seconds = case["seconds"] if case["expect"]["state"] == "waiting" else _START_S
        deadline = time.monotonic() + seconds
        while not self.ends_within(0.02):
            if all(self._listens(self._ports[port]) for port in ports):
                return {"state": "ready"}
            if time.monotonic() > deadline:
                return {"state": "waiting"}
        return {"state": "exit", "exit": self._exit_status, "stdout": self.stdout}

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return (self._base / "stdout").read_text(errors="replace")

    def report(self) -> str:
        """What became of it and what it wrote, for the message of a failing test."""
        state = "runs" if self.is_alive else f"has ended: {self._exit_status}"
        stderr = (self._base / "stderr").read_text(errors="replace")
        return f"The server {state}\n--- stdout\n{self.stdout}\n--- stderr\n{stderr[-8000:]}"

    @property
    def _exit_status(self) -> int | str:
        status = self._process.wait()
        return status if status >= 0 else f"signal {-status}"

    @staticmethod
    def _listens(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


class Servers:
    """The servers of a run of tests. Threads may start servers of their own; the shared one is for one thread."""

    def __init__(self, make_folder: Callable[[], Path]) -> None:
        """Starts nothing yet.

        Args:
            make_folder: makes an empty folder.
        """
        self._make_folder = make_folder
        self._lock = threading.Lock()
        self._started: list[Server] = []
        self._is_closed = False
        self._shared: tuple[Program, Case, Server] | None = None
        self._failed: dict[tuple[Program, str], str] = {}
        self._played: set[str] = set()

    def folder(self) -> Path:
        """A new work folder."""
        with self._lock:
            return self._make_folder()

    def start(self, program: Program, setup: Json, base: Path) -> Server:
        """Starts a server, which the caller ends; `close` ends it too."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the tests have ended: no server is started any more")
            self._started.append(Server(program, setup, base))
            return self._started[-1]

    def differences(self, program: Program, case: Case) -> list[str]:
        """Plays a case on a server of its set-up, after the cases that belong before it, and gives what differs."""
        server = self._server(program, case)
        for earlier in case.before:
            if earlier.id not in self._played:
                self._played.add(earlier.id)
                server.ask(earlier.data)
        self._played.add(case.id)
        return server.differences(case.data)

    def close(self) -> None:
        """Ends all that still run."""
        with self._lock:
            self._is_closed = True
            for server in self._started:
                server.kill()

    def _server(self, program: Program, case: Case) -> Server:
        """A ready server of the set-up of a case: the one of the case before, where both may share it."""
        name = case.data["server"]
        if message := self._failed.get((program, name)):
            pytest.fail(message)
        if self._shared:
            last_program, last, server = self._shared
            is_own = case.data.get("fresh") or last.data.get("fresh")
            if (last_program, last.data["server"]) == (program, name) and server.is_alive and not is_own:
                return server
            server.kill()
        server = self.start(program, SETUPS[name], self.folder())
        state = server.start({"expect": {"state": "ready"}}, "<GRPC>", "<REST>")["state"]
        if state != "ready":
            self._failed[program, name] = f"The state of set-up {name} is {state}. {server.report()}"
            server.kill()
            pytest.fail(self._failed[program, name])
        self._shared, self._played = (program, case, server), set()
        return server


def free_ports() -> tuple[int, int]:
    """Two ports that nobody has now."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
