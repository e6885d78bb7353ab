"""A worker process: imports a framework once, then runs stages in copies of itself.

``python -m pipeline.worker tensorflow``. A request is a JSON line on standard input: the stages that share a copy, as
``[{"stage": ..., "call": "module:function", "arguments": {...}}, ...]``, where paths are given as ``{"path": "..."}``.
For each stage comes a line with its name and ``{"result": ..., "seconds": ..., "memory": ...}`` or ``{"error": ...}``
as it ends.

The copy is a fork: a request finds the framework as it was imported, and never what an earlier one left in it. That
makes its files depend on nothing but its inputs (TensorFlow numbers its functions through a process), and lets two
requests run side by side. On macOS, where the system's libraries do not survive a fork, stages run one by one in the
worker itself.
"""

import contextlib
import errno
import gc
import importlib
import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from contract.errors import Code, ShowdownError
from contract.files import storage_errors
from pipeline.memory import measured

__all__ = ["CAN_FORK", "PRELOADS", "call_stage", "main", "preload"]

CAN_FORK = sys.platform == "linux"

PRELOADS: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch", "torch._dynamo", "torch.export._trace", "onnxscript", "onnx", "safetensors.torch"),
    "tensorflow": ("tensorflow", "keras", "onnx", "safetensors.numpy", "tensorflow_serving.apis.prediction_log_pb2"),
    # The runtimes of exported files. TF's C API has a worker of its own: tflite_runtime aborts in a process with TF.
    "litert": (
        "onnxruntime",
        "ai_edge_litert.interpreter",
        "runtimes.tflite",
        "pipeline.golden",
        "pipeline.verify.stages",
    ),
    "tensorflow_c": ("pipeline.verify.signatures", "runtimes.tensorflow_c_api:load_library"),
}
"""What each worker imports, and calls where a function is named, while the others do the same."""

_LONGEST_MESSAGE = 2000
_CHUNK = 1 << 16


def call_stage(call: str, arguments: Mapping[str, Any]) -> Any:
    """Calls ``module:function`` with keyword arguments."""
    module, _, function = call.partition(":")
    return getattr(importlib.import_module(module), function)(**arguments)


def main(framework: str) -> None:
    """Answers requests until the input ends."""
    answers = os.dup(sys.stdout.fileno())
    os.set_inheritable(answers, False)
    # Frameworks print to standard output, from C++ too: all of that goes to the log, behind standard error.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    preload(framework)
    _Stages(answers).serve()


def preload(framework: str) -> None:
    """Imports a framework with the collector off, and leaves what that made out of all later collections.

    A collection walks some million objects of a framework and frees none of them; TFLite's converter forces one for
    each file, which was more than half of its time. It would also copy every page that a fork shares.
    """
    gc.disable()
    for name in PRELOADS[framework]:
        module, _, function = name.partition(":")
        imported = importlib.import_module(module)
        if function:
            getattr(imported, function)()
    gc.freeze()
    gc.enable()


@dataclass(slots=True)
class _Copy:
    """A fork that works on a request: its process, the stages that it has not answered, and what it wrote so far."""

    process: int
    stages: list[str]
    unread: bytes = b""


class _Stages:
    """The requests, and the copies that work on them. Single-threaded: a fork copies no lock that somebody holds."""

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._unread = b""

    def serve(self) -> NoReturn:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._read()
                else:
                    self._collect(key.fd, key.data)

    def _read(self) -> None:
        chunk = os.read(sys.stdin.fileno(), _CHUNK)
        if not chunk:
            # Nobody waits any more, also for what is running: this worker leads a process group of its own.
            os.killpg(0, signal.SIGKILL)
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if CAN_FORK:
                self._fork(request)
            else:
                _work(request, self._answers)

    def _fork(self, request: Sequence[Mapping[str, Any]]) -> None:
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            status = 1
            try:
                os.close(self._answers)
                self._selector.close()
                _work(request, writing)
                status = 0
            finally:
                # No interpreter shutdown, whatever happened: a framework waits there for threads that a fork lacks.
                os._exit(status)
        os.close(writing)
        self._selector.register(reading, selectors.EVENT_READ, _Copy(process, [part["stage"] for part in request]))

    def _collect(self, pipe: int, copy: _Copy) -> None:
        """Passes on what a copy wrote, line by line; at the end, that it died if it left stages without an answer."""
        chunk = os.read(pipe, _CHUNK)
        *lines, copy.unread = (copy.unread + chunk).split(b"\n")
        for line in lines:
            copy.stages.pop(0)
            os.write(self._answers, line + b"\n")
        if chunk:
            return
        self._selector.unregister(pipe)
        os.close(pipe)
        status = os.waitstatus_to_exitcode(os.waitpid(copy.process, 0)[1])
        if copy.stages:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
            _send(self._answers, {"stage": copy.stages[0], **_error(Code.INTERNAL, f"its process {how}")})


def _work(request: Sequence[Mapping[str, Any]], answers: int) -> None:
    for part in request:
        answer = _answer(part)
        _send(answers, answer)
        if "error" in answer:
            return


def _send(answers: int, answer: Mapping[str, Any]) -> None:
    os.write(answers, json.dumps(answer).encode() + b"\n")


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {
        name: Path(value["path"]) if isinstance(value, dict) and set(value) == {"path"} else value
        for name, value in request["arguments"].items()
    }
    stage = request["stage"]
    _log(f"--- {stage}")
    started = time.perf_counter()
    try:
        with storage_errors(arguments["out"]), measured() as memory:
            result = call_stage(request["call"], arguments)
    except ShowdownError as err:
        _log(traceback.format_exc())
        return {"stage": stage, **_error(err.code, str(err))}
    except Exception as err:  # noqa: BLE001 - the outermost frame of a request: the traceback goes to the log
        _log(traceback.format_exc())
        return {"stage": stage, **_foreign_error(err)}
    return {"stage": stage, "result": result, "seconds": time.perf_counter() - started, "memory": asdict(memory)}


def _log(text: str) -> None:
    # The log may be on the disk that is full, which the answer tells.
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{text}\n".encode(errors="replace"))  # at once: other copies write here too


def _foreign_error(err: Exception) -> dict[str, Any]:
    text = str(err).strip()
    # TensorFlow and safetensors pass on the system's text without its number.
    if os.strerror(errno.ENOSPC) in text:
        return _error(Code.RESOURCE_EXHAUSTED, "no space left on the disk; free some and run the same command again")
    if isinstance(err, MemoryError):
        return _error(Code.RESOURCE_EXHAUSTED, f"this machine has not enough memory: {text.partition(chr(10))[0]}")
    return _error(Code.INTERNAL, f"{type(err).__name__}: {text.partition(chr(10))[0]}")


def _error(code: Code, message: str) -> dict[str, Any]:
    return {"error": {"code": code.name, "message": message[:_LONGEST_MESSAGE]}}


if __name__ == "__main__":
    main(sys.argv[1])
