"""Plays the steps of a scenario: files that change, a server that starts, and calls to it."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.serving.golden.comparison import differences
from tests.serving.golden.recorded import MODELS, Json, Program, filled
from tests.serving.golden.server import Server, Servers

__all__ = ["Scenario"]

_GRACE_S = 5
"""How much longer than recorded a change may take, because the machine may be slow."""


class Scenario:
    """One run of a scenario, in a work folder of its own."""

    def __init__(self, servers: Servers, program: Program) -> None:
        """Starts nothing yet."""
        self._servers = servers
        self._program = program
        self._base = servers.folder()
        self._running: Server | None = None

    def differences(self, steps: list[Json]) -> list[str]:
        """Plays the steps and gives what differs, a line for each place."""
        change: dict[str, Callable[[Json], None]] = {
            "copy": self._copy,
            "mkdir": self._mkdir,
            "remove": self._remove,
            "move": self._move,
            "write": self._write,
            "sleep": self._sleep,
            "stop": self._stop,
        }
        look: dict[str, Callable[[Json], list[str]]] = {
            "start": self._start,
            "call": self._call,
            "burst": self._burst,
            "together": self._together,
        }
        found: list[str] = []
        try:
            for index, step in enumerate(steps):
                if step["do"] in change:
                    change[step["do"]](step)
                    continue
                lines = look[step["do"]](step)
                found += [f"step {index}, {step['do']}: {line}" for line in lines]
                if lines and step["do"] == "start":
                    return [*found, self._server.report()]
        finally:
            if self._running:
                self._running.kill()
        return found

    @property
    def _server(self) -> Server:
        assert self._running, "the scenario has started no server"
        return self._running

    def _path(self, name: str) -> Path:
        path = self._base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _copy(self, step: Json) -> None:
        part = self._path(step["to"] + ".part")
        shutil.copytree(MODELS / step["from"], part)
        part.rename(self._path(step["to"]))

    def _mkdir(self, step: Json) -> None:
        self._path(step["path"]).mkdir()

    def _remove(self, step: Json) -> None:
        path = self._path(step["path"])
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _move(self, step: Json) -> None:
        self._path(step["from"]).rename(self._path(step["to"]))

    def _write(self, step: Json) -> None:
        part = self._path(step["path"] + ".part")
        part.write_text(filled(step["text"], {"<MODELS>": str(MODELS), "<BASE>": str(self._base)}))
        part.rename(self._path(step["path"]))

    def _sleep(self, step: Json) -> None:
        time.sleep(step["seconds"])

    def _stop(self, _: Json) -> None:
        self._server.kill()

    def _start(self, step: Json) -> list[str]:
        self._running = self._servers.start(self._program, step, self._base)
        answer = self._server.start(step, "<GRPC>", "<REST>")
        return differences(self._server.filled(step), answer)

    def _call(self, step: Json) -> list[str]:
        within = step.get("within", 0)
        deadline = time.monotonic() + within + _GRACE_S
        while (found := self._server.differences(step)) and within and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _burst(self, step: Json) -> list[str]:
        with ThreadPoolExecutor(step["calls"]) as threads:
            answers = list(threads.map(self._server.ask, [step] * step["calls"]))
        kinds = sorted({f"{answer['code']}: {answer['message']}" for answer in answers})
        return differences(self._server.filled(step), {"kinds": kinds})

    def _together(self, step: Json) -> list[str]:
        calls = []
        with ThreadPoolExecutor(len(step["calls"])) as threads:
            for call in step["calls"]:
                calls.append(threads.submit(self._server.ask, call))
                time.sleep(step["gap"])
        return differences(self._server.filled(step), {"answers": [call.result() for call in calls]})
