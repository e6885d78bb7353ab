"""Too much: bodies, depths and shapes that no server can take."""

import gzip
import time
from pathlib import Path
from typing import Any

import pytest

from tests.serving.hostile.target import GIB, GOOD, MISTAKE_STATUSES, MISTAKES, Target, good_request, predict_request

pytestmark = pytest.mark.slow  # starts servers


def free_bytes() -> int:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


needs_memory = pytest.mark.skipif(free_bytes() < 8 * GIB, reason="needs 8 GiB of free memory")


def comes_down(target: Target, before: int, size: int) -> bool:
    """Whether the server's memory is soon near what it was before a request of a size."""
    deadline = time.monotonic() + 10
    while (is_high := target.rss > before + size // 2) and time.monotonic() < deadline:
        assert target.is_well()  # the last body may be kept until a next request comes
        time.sleep(0.1)
    return not is_high


sizes_in_bytes = pytest.mark.parametrize(
    "size", [256 * 2**20, pytest.param(GIB, marks=pytest.mark.long)], ids=["256 MiB", "1 GiB"]
)


@needs_memory
@sizes_in_bytes
def test_a_huge_grpc_request(size, target):
    assert target.is_well()
    request = predict_request(dims=[1], tensor_content=bytes(size)).SerializeToString()
    memory = [target.rss]
    for _ in range(4):
        assert target.grpc(request) == "INVALID_ARGUMENT"
        memory.append(target.rss)
    # The C library keeps what has come in many small pieces, for the next one; a leak would grow with each.
    assert memory[-1] < memory[0] + 3 * size


@needs_memory
@sizes_in_bytes
@pytest.mark.parametrize(
    ("start", "end", "status"),
    [
        (b'{"signature_name": "serving_default",', b'"instances": [1]}', 200),
        (b'{"signature_name": "', b'", "instances": [1]}', 400),
        (b"", b"x", 400),
    ],
    ids=["fits", "long name", "no JSON"],
)
def test_a_huge_rest_body(start, end, status, size, target):
    assert target.is_well()
    before = target.rss
    part = b" " * 2**20
    with target.connect() as connection:
        head = f"POST /v1/models/half_plus_two:predict HTTP/1.1\r\nContent-Length: {len(start) + size + len(end)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + start)
        for _ in range(size // len(part)):
            connection.sendall(part)
        connection.sendall(end)
        first = connection.recv(2**16).split(b"\r\n")[0]
        while connection.recv(2**20):
            pass
    assert first.split()[1] == str(status).encode()
    assert comes_down(target, before, size)


@pytest.mark.parametrize("levels", [10_000, 1_000_000])
@pytest.mark.parametrize(
    ("start", "up", "down"),
    [
        (b'{"instances":', b"[", b"]}"),
        (b'{"instances":', b"[", b""),
        (b'{"inputs":', b'{"x":', b"1}"),
        (b'{"instances":[', b'{"a":', b""),
        (b'{"signature_name":', b"[", b"]}"),
        (b"", b"[", b"]"),
    ],
)
def test_deep_json(start, up, down, levels, target):
    end = down[:1] * levels + down[1:] if down.startswith(b"]") else down[:-1] + down[-1:] * (levels + 1)
    assert target.post(start + up * levels + (end if down else b""))[0] == 400


def test_deep_json_of_examples(target):
    levels = 1_000_000
    for verb in ("classify", "regress"):
        body = b'{"examples":[{"x":' + b"[" * levels + b"]" * levels + b"}]}"
        assert target.post(body, f"/v1/models/example:{verb}")[0] == 400


def test_a_gzip_bomb(target):
    bomb = gzip.compress(b'{"instances": [1]' + b" " * (101 * 2**20) + b"}", 9)
    assert len(bomb) < 2**20
    before = target.rss
    assert target.post(bomb, **{"Content-Encoding": "gzip"})[0] == 400
    assert comes_down(target, before, 200 * 2**20)


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b", gzip.compress(GOOD)[:-4], GOOD, b"\x1f\x8b" + bytes(100)])
def test_a_broken_gzip(body, target):
    assert target.post(body, **{"Content-Encoding": "gzip"})[0] == 400
    assert target.post(gzip.compress(GOOD), **{"Content-Encoding": "gzip"})[0] == 200


@pytest.mark.parametrize(
    "dims",
    [[2**40], [2**62, 2**62], [2**63 - 1], [2**20, 2**20], [-1], [3, -1], [-(2**63)], [1] * 33, [1] * 300, [0, 2**62],
     [0, 2**62, 2**62], [2**40, 0, 2**40]],
)  # fmt: skip
@pytest.mark.parametrize("given_by", ["float_val", "tensor_content", "nothing"])
def test_an_impossible_shape(dims, given_by, target):
    fields: dict[str, Any] = {"float_val": [1.0], "tensor_content": bytes(4)}
    values = {given_by: fields[given_by]} if given_by in fields else {}
    for model, alias in (("half_plus_two", "x"), ("varlen", "x")):
        assert target.grpc(predict_request(model, alias, dims=dims, **values).SerializeToString()) in MISTAKES


def test_names_that_are_no_text(target):
    good = good_request()
    bad_model = good.replace(b"half_plus_two", b"half_plus_tw\xff")
    bad_alias = good.replace(b"\x0a\x01x", b"\x0a\x01\xff")
    assert len({good, bad_model, bad_alias}) == 3
    for request in (bad_model, bad_alias):
        # What TensorFlow Serving answers to bytes that are no message: case grpc_predict-161.
        assert target.grpc(request) == "INTERNAL"
    for name in ("half%ff", "%ff", "%00", "half_plus_two%00", "%f0%9f%98"):
        for verb in ("predict", "classify", "regress"):
            assert target.post(GOOD, f"/v1/models/{name}:{verb}")[0] in MISTAKE_STATUSES
            assert target.post(GOOD, f"/v1/models/{name}/labels/{name}:{verb}")[0] in MISTAKE_STATUSES
    for body in (b'{"signature_name": "\xff", "instances": [1]}', b'{"inputs": {"\xff": [1]}}', b'{"\xff": 1}'):
        assert target.post(body)[0] == 400
    for path in (
        "/v1/models/half_plus_two/labels/a\xff:predict",
        "/v1/models/\xff",
        "/v1/models/\xff/metadata",
        "/\xff",
    ):
        line = f"POST {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode("latin-1")
        assert target.exchange(line).split()[1] in (b"400", b"404")


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_a_signature_that_is_no_text(verb, target):
    body = b'{"signature_name": "\xff", "examples": [{"x": 1}]}'
    assert target.post(body, f"/v1/models/example:{verb}")[0] == 400
