"""Measures and prints: ``.venv/bin/python -m benchmarks.serving --help``."""

import argparse
import importlib.metadata
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.export import machine
from benchmarks.serving.generators import generate
from benchmarks.serving.loads import LOADS, Load
from benchmarks.serving.processes import cpu_seconds, memory
from benchmarks.serving.programs import (
    KINDS,
    TF_SERVING,
    Server,
    install_peers,
    newest_version,
    servers,
    versions_of_peers,
)
from benchmarks.serving.report import DOCUMENT, put_between_markers, report
from benchmarks.serving.running import NoAnswerError, Running, check_agreement

LIBRARIES = ("tensorflow", "grpcio", "numpy")

_BUSY = 0.25
"""Load average for each core above which a line says that others work here."""

_T = TypeVar("_T")


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
        parser.exit(1, "the benchmark reads /proc: Linux only\n")
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
