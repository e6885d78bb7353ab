"""A .tflite file as the target: the same calls."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import Code, SpecError, StatusError, UsageError
from contract.tensor_spec import TensorSpec
from serving.client import AsyncClient, Client, VersionStatus

ROOT = Path(__file__).parents[3]
FILE = ROOT / "tests" / "golden" / "artifacts" / "0.1.0" / "tflite" / "or_gate_pytorch.int8.tflite"
ROWS = [[0, 0], [0, 1], [1, 0], [1, 1]]


def array(dtype: str, values: Any) -> Any:
    return np.array(values, dtype)


def test_the_same_calls():
    with Client(str(FILE)) as client:
        y = client.predict(ROWS, model="or_gate")["y"]
        assert (y.dtype.name, (y[:, 0] > 0.5).tolist()) == ("float32", [False, True, True, True])
        np.testing.assert_array_equal(client.predict({"x": array("float32", ROWS)}, outputs=["y"])["y"], y)
        [spec] = client.metadata()["serving_default"].inputs
        assert spec == TensorSpec("x", "float32", spec.shape)  # int8 in the file
        assert client.status() == [VersionStatus(1, "AVAILABLE")]
        assert client.ready()
        with pytest.raises(SpecError, match=r"signature serving_default: input x: wanted x float32\[.*, 2\], given"):
            client.predict([[1, 2, 3]])
        with pytest.raises(SpecError, match="there is no signature 'absent', only serving_default"):
            client.predict(ROWS, signature="absent")
        with pytest.raises(UsageError, match="a file has no versions and no labels"):
            client.predict(ROWS, version=1)
        with pytest.raises(StatusError, match="cannot classify examples") as caught:
            client.classify([{"x": 1.0}])
        assert caught.value.code is Code.UNIMPLEMENTED
    with pytest.raises(ValueError, match="is closed"):
        client.predict(ROWS)


def test_coroutines():
    async def calls():
        async with AsyncClient(str(FILE)) as client:
            return await asyncio.gather(*(client.predict([row]) for row in ROWS))

    assert [answer["y"][0, 0] > 0.5 for answer in asyncio.run(calls())] == [False, True, True, True]


OTHER_INTERPRETER = """
import runtimes
from contract.errors import RuntimeAbsentError
from serving.client import Client, by_file

asked = []

def load(runtime, path, *, signature):
    asked.append(runtime)
    if runtime == "ai_edge_litert":
        raise RuntimeAbsentError("ai-edge-litert is not installed here")
    return runtimes.load(runtime, path, signature=signature)

by_file.load = load
with Client({file!r}) as client:
    print(client.predict([[0, 1]])["y"].shape, asked)
"""


def test_whichever_interpreter_is_installed():
    pytest.importorskip("tflite_runtime")
    # A process of its own: tflite_runtime fails beside TensorFlow, which another test may have imported.
    code = OTHER_INTERPRETER.format(file=str(FILE))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 1) ['ai_edge_litert', 'tflite_runtime']\n"


def test_a_file_that_is_not_there():
    with Client("absent.tflite") as client, pytest.raises(UsageError, match=r"absent\.tflite: there is no such file"):
        client.predict(ROWS)
