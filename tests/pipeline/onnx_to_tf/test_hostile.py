"""Damaged .onnx bytes end in an error of ours: no other exception, no crash, no hang."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

ATTEMPTS = """
import json, os, random, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import logging
import numpy as np
import onnx
logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)
from contract.errors import ShowdownError
from pipeline.onnx_to_tf import convert, to_module
from pipeline.onnx_to_tf.loading import load

kind, folder, first, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

MODEL = onnx.parser.parse_model('''
<ir_version: 9, opset_import: ["" : 18, "own" : 1]>
net (float[batch, 3] x, bool flag) => (float[batch, 3] y, int64[2] shape)
<float[3] weight = {1.0, 2.0, 3.0}, int64[2] target = {-1, 3}>
{
    sum = own.twice (x)
    scaled = Add (sum, weight)
    picked = If (flag) <
        then_branch = yes () => (float[batch, 3] a) { a = Identity (scaled) },
        else_branch = no () => (float[batch, 3] b) { b = Add (scaled, x) }
    >
    constant = Constant <value = float[1] {0.5}> ()
    moved = Add (picked, constant)
    y = Reshape (moved, target)
    shape = Shape (y)
}
<opset_import: ["" : 18], domain: "own">
twice (value) => (doubled) { doubled = Add (value, value) }
''')


def damaged(content, rng):
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(data))
        match rng.randrange(6):
            case 0: data[at] ^= 1 << rng.randrange(8)
            case 1: data[at] = rng.randrange(256)
            case 2: del data[at : at + rng.randrange(1, 9)]
            case 3: data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            case 4: data[at : at + 8] = b"\\xff" * 8
            case 5: data[at:at] = data[rng.randrange(len(data)) :][: rng.randrange(1, 64)]
    return bytes(data)


def messages(message):
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for each in value if field.is_repeated else [value]:
                yield from messages(each)


def edited(content, rng):
    model = onnx.ModelProto.FromString(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        chosen = rng.choice([message for message in messages(model) if message.ListFields()])
        field, value = rng.choice(chosen.ListFields())
        action = rng.randrange(4)
        if action == 0:
            chosen.ClearField(field.name)
        elif field.is_repeated:
            at = rng.randrange(len(value))
            if action == 1:
                del value[at]
            elif action == 2:
                value.append(value[rng.randrange(len(value))])
            elif field.type != field.TYPE_MESSAGE:
                value[at] = other(value[at], rng)
        elif field.type != field.TYPE_MESSAGE:
            try:
                setattr(chosen, field.name, other(value, rng))
            except ValueError:
                chosen.ClearField(field.name)
    return model.SerializeToString()


def other(value, rng):
    if isinstance(value, (bytes, str)):
        texts = ["", "x", "y", "sum", "Loop", "Add", "ai.onnx", "weight", "a/../../b", value[1:], value * 2]
        return rng.choice(texts if isinstance(value, str) else [b"", value[1:], value * 2])
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, float("nan"), 1e30])
    return rng.choice([0, 1, -1, 2, 7, 16, 100, 2**31 - 1, -(2**31)])


content = MODEL.SerializeToString()
for number in range(first, last):
    rng = random.Random(number)
    change = {"cut": lambda content, rng: content[:number], "bytes": damaged}.get(kind, edited)
    changed = change(content, rng)
    path = folder / f"{number}.onnx"
    path.write_bytes(changed)
    print(json.dumps({"begun": number}), flush=True)
    try:
        if kind == "whole":
            convert(path, folder / f"{number}")
        else:
            to_module(load(path))
        outcome = "converted"
    except ShowdownError as err:
        outcome = "refused" if str(err).strip() and "\\n" not in str(err) else f"empty message or many lines: {err!r}"
    except BaseException as err:
        outcome = f"{type(err).__name__}: {err}"
    print(json.dumps({"ended": number, "outcome": outcome}), flush=True)
"""


def outcomes(kind: str, folder: Path, first: int, last: int) -> dict[int, str]:
    """What came of each attempt; one that a process died of or hung in is said so."""
    command: list[str | Path] = [sys.executable, "-c", ATTEMPTS, kind, folder, str(first), str(last)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
        status, printed = f"the process ended with {done.returncode}: {done.stderr[-500:]}", done.stdout
    except subprocess.TimeoutExpired as err:
        status, printed = "it hung", (err.stdout or b"").decode()
    found: dict[int, str] = {}
    for line in map(json.loads, printed.splitlines()):
        if "begun" in line:
            found[line["begun"]] = status
        else:
            found[line["ended"]] = line["outcome"]
    assert found, status
    return found


@pytest.mark.parametrize(
    ("kind", "first", "last"), [("cut", 0, 700), ("bytes", 0, 600), ("edited", 0, 500), ("whole", 1000, 1100)], ids=str
)
def test_damaged_bytes_are_refused_or_converted(tmp_path, kind, first, last):
    found = outcomes(kind, tmp_path, first, last)
    wrong = {number: outcome for number, outcome in found.items() if outcome not in {"refused", "converted"}}
    assert wrong == {}
    assert len(found) == last - first
    assert "refused" in found.values()
