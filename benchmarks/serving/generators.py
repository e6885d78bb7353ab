"""wrk and h2load: how they are called, and what they print."""

import json
import math
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.loads import Load, framed, grpc_body, rest_body
from benchmarks.serving.running import METHOD, Running

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
class Result:
    """What a load generator saw; latencies in milliseconds."""

    requests: int
    requests_s: float
    p50_ms: float
    p99_ms: float


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
