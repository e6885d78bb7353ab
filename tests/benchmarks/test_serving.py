"""benchmarks/serving: what it reads from load generators and /proc, and what it makes of samples; no server runs."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from benchmarks.serving import generators, loads, processes, report, running
from benchmarks.serving.loads import BATCH, LOADS, ONE, SIXTEEN
from benchmarks.serving.programs import FASTAPI, FLASK, KINDS, OURS, ROOT, Server
from benchmarks.serving.report import BEGIN, END
from serving.protos import predict

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

WRK = 'Running 1s test\nwrk={"requests": 10, "us": 2000000, "p50": 1500.0, "p99": 2500.0, "errors": {"read": %d}}\n'
H2LOAD = """
finished in 2.00s, {done}.50 req/s, 727.02KB/s
requests: {done} total, 5 started, {done} done, {done} succeeded, 0 failed, {errored} errored, 0 timeout
status codes: {done} 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.42MB (1488940) total, 69.14KB (70800) headers (space savings 96.23%), 113.28KB ({data}) data
"""
LOG = "1\t200\t3000\n2\t200\t1000\n3\t200\t2000\n"


def samples(rate: float = 600.0, rss: int = 400_000_000) -> dict[str, Any]:
    """What `run` gives; ours is as fast as told, Flask answers 100 and FastAPI 200 requests a second."""
    rates = {OURS: rate, FLASK: 100.0, FASTAPI: 200.0}
    rows = [
        {"round": number, "kind": kind, "load": load.name, "server": server, "requests_s": rates[server] + number}
        | {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_us": 300.0}
        for number in (1, 2, 3)
        for kind in KINDS
        for load in LOADS
        for server in (rates if kind == "REST" else [OURS])
    ]
    memory = {"rss": rss, "anonymous": 100_000_000, "pss": None}
    return {
        "ready": {server: [0.7, 0.8, 5.0] for server in rates},
        "memory": {server: {"before": memory, "after": [memory] * 3} for server in rates},
        "loads": rows,
    }


def test_the_result_of_wrk():
    assert generators.parse_wrk(WRK % 0) == generators.Result(10, 5.0, 1.5, 2.5)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (WRK % 3, "wrk saw errors in 10 requests: 3 read"),
        ("unable to connect", "wrk printed no result: unable to connect"),
        ((WRK % 0).replace('"requests": 10', '"requests": 0'), "wrk had no answer"),
    ],
)
def test_errors_that_wrk_saw(output, message):
    with pytest.raises(ValueError, match=message):
        generators.parse_wrk(output)


def test_the_result_of_h2load():
    output = H2LOAD.format(done=3, errored=0, data=18)
    assert generators.parse_h2load(output, LOG, 6) == generators.Result(3, 3.5, 2.0, 3.0)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (H2LOAD.format(done=3, errored=2, data=18), "h2load saw errors in 3 requests: 2 errored"),
        (H2LOAD.format(done=0, errored=0, data=0), "h2load had no answer"),
        (H2LOAD.format(done=3, errored=0, data=12), "another status than OK: 12 bytes of messages in 3 answers of 6"),
        ("starting benchmark...", "h2load printed no result: starting benchmark..."),
    ],
)
def test_errors_that_h2load_saw(output, message):
    with pytest.raises(ValueError, match=message):
        generators.parse_h2load(output, LOG, 6)


def test_both_bodies_hold_the_same_numbers():
    tensor = predict.PredictRequest.FromString(loads.grpc_body(BATCH)).inputs["x"]
    rows = np.array(json.loads(loads.rest_body(BATCH))["instances"], np.float32)
    assert rows.shape == (5000, 2)
    assert [dim.size for dim in tensor.tensor_shape.dim] == [5000, 2]
    assert tensor.tensor_content == rows.tobytes()


@pytest.mark.parametrize("as_content", [True, False])
def test_numbers_of_a_response_in_either_encoding(as_content):
    response = predict.PredictResponse()
    tensor = response.outputs["y"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add().size = 3
    if as_content:
        tensor.tensor_content = np.array([1, 2, 2], "<f4").tobytes()
    else:
        tensor.float_val.extend([1, 2])
    assert loads.grpc_predictions(response.SerializeToString()) == [1, 2, 2]


def test_a_percentile_is_a_value_that_was_seen():
    assert [generators.percentile(range(1, 101), percent) for percent in (50, 99)] == [50, 99]
    assert generators.percentile([7], 50) == 7


def alive(leader: int) -> list[str]:
    """Processes of a session; those that only wait to be reaped are none any more."""
    return [path.name for path in processes.session(leader) if processes._stat(path)[:1] not in ([], ["Z"])]


@linux
def test_cpu_and_memory_are_those_of_a_session():
    code = "import os; os.fork(); sum(range(10**7)); print(flush=True); input()"
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        assert len(processes.session(process.pid)) == 2
        assert processes.cpu_seconds(process.pid) > 0.1
        found = processes.memory(process.pid)
        assert found.rss > found.anonymous > 1_000_000
        os.killpg(process.pid, 9)


@linux
def test_a_server_that_ends_ends_the_benchmark_with_its_last_words(tmp_path):
    server = Server("broken", lambda *_: [sys.executable, "-c", "raise SystemExit('no model')"], rest="/")
    with running.Running(server, tmp_path) as one, pytest.raises(SystemExit, match=r"exit status 1\n  \| no model"):
        one.wait_until_ready()


@linux
def test_no_process_outlives_its_server(tmp_path, monkeypatch):
    stubborn = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); os.fork(); print(flush=True); time.sleep(60)"
    )
    server = Server("stubborn", lambda *_: [sys.executable, "-c", stubborn])
    monkeypatch.setattr(running, "_STOP_SECONDS", 0.2)
    with running.Running(server, tmp_path) as one:
        while len(one.log.read_text()) < 2:
            pass
        assert len(processes.session(one.pid)) == 2
    ends = time.monotonic() + 5
    while (left := alive(one.pid)) and time.monotonic() < ends:
        time.sleep(0.01)
    assert left == []


def test_ratios_are_those_to_the_fastest_peer():
    found = report.ratio(samples(), "REST", ONE, (FLASK, FASTAPI))
    assert found is not None
    assert found[0] == pytest.approx(602 / 202)
    assert found[1] == FASTAPI
    assert report.ratio(samples(), "REST", ONE, ("another",)) is None


def test_aims_that_are_met_and_not_met():
    assert [line.rpartition(", ")[2] for line in report.aims(samples(rate=700))] == ["met"] * 6
    missed = report.aims(samples(rate=150, rss=500_000_000))
    assert [line.rpartition(", ")[2] for line in missed] == [*["**not met**"] * 4, "met", "**not met**"]


def test_the_report_has_every_load_and_the_machine():
    machine = {"cpu": "Z80", "cores": 1, "platform": "CP/M", "load before": 0.0}
    text = report.report(samples(), {"machine": machine, "versions": {"python": "3"}, "rounds": 3, "seconds": 5})
    assert "1 cores of Z80" in text
    assert f"| REST | {SIXTEEN.name} | {OURS} | 602 (601 to 603) | 1.00 | 2.00 | 300 |" in text
    assert f"| {OURS} | 0.80 | 400 | 100 | unknown |" in text
    assert "no `tensorflow_model_server` on PATH" in text


def test_the_document_takes_figures_twice():
    page = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
    once = report.put_between_markers(page, "1")
    assert report.put_between_markers(once, "1") == once
    assert f"{BEGIN}\n\n1\n\n{END}\n" in once


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_document_without_the_markers_is_refused(page):
    with pytest.raises(ValueError, match="once each"):
        report.put_between_markers(page, "1")


def test_the_command_runs():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--rounds" in done.stdout
