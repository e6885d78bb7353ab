"""examples/flask: a real server on a free port, asked as any client would."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "examples/flask/app.py"
TABLE = [[0, 0], [0, 1], [1, 0], [1, 1]]
TOLERANCE = 1e-5  # two frameworks after 2,000 steps of float32 arithmetic; the spec's own for a trained network

pytestmark = pytest.mark.slow

Post = Callable[[str, Any], tuple[int, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the app on a fresh export."""
    build = tmp_path_factory.mktemp("build")
    export = [sys.executable, "-m", "cli.main", "export", "--seed", "3", "--build-dir", str(build)]
    subprocess.run(export, cwd=ROOT, check=True, capture_output=True)
    command = [sys.executable, "-W", "error", str(APP), f"--build-dir={build}", "--port=0"]
    log = build / "flask.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving on http://127.0.0.1:"), log.read_text()
        try:
            yield line.split()[2].removesuffix("/predict/torch")
        finally:
            process.terminate()


@pytest.fixture
def post(server: str) -> Post:
    """Posts a body, JSON or bytes as they are; gives status and answer."""

    def posted(path: str, body: Any) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{server}{path}", content, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as err:
            with err:
                return err.code, json.load(err)

    return posted


@pytest.mark.parametrize("network", ["torch", "tensorflow"])
def test_the_truth_table_comes_out_right(post, network):
    status, answer = post(f"/predict/{network}", {"instances": TABLE})
    assert status == 200
    assert set(answer) == {"predictions"}
    assert [[score > 0.5 for score in row] for row in answer["predictions"]] == [[False], [True], [True], [True]]


def test_both_networks_agree_off_the_table_too(post):
    points = [*TABLE, [0.2, 0.9], [0.9, 0.2], [0.05, 0.6]]
    answers = [post(f"/predict/{network}", {"instances": points})[1] for network in ("torch", "tensorflow")]
    torch, tensorflow = ([row[0] for row in answer["predictions"]] for answer in answers)
    assert torch == pytest.approx(tensorflow, abs=TOLERANCE)


@pytest.mark.parametrize("network", ["torch", "tensorflow"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body has to be"),
        (b'{"instances": [[0, 1]', "the body has to be"),
        (b"\xff", "the body has to be"),
        (b"[" * 100_000, "the body has to be"),
        ([[0, 1]], "the body has to be"),
        ({}, "the body has to be"),
        ({"instances": [[0, 1]], "signature": "x"}, "the body has to be"),
        ({"instances": []}, "at least one instance"),
        ({"instances": "0, 1"}, "at least one instance"),
        ({"instances": [0, 1]}, "instances[0] has to be a list of 2 numbers"),
        ({"instances": [[0, 1], [1]]}, "instances[1] has to be a list of 2 numbers"),
        ({"instances": [[0, "1"]]}, "instances[0] has to be a list of 2 numbers"),
        ({"instances": [[0, None]]}, "instances[0] has to be a list of 2 numbers"),
        ({"instances": [[0, True]]}, "instances[0] has to be a list of 2 numbers"),
        ({"instances": [[0, [1]]]}, "instances[0] has to be a list of 2 numbers"),
        ({"instances": [[0, 1e39]]}, "instances[0] has a number that is not a finite float32"),
        (b'{"instances": [[0, NaN]]}', "instances[0] has a number that is not a finite float32"),
        (b'{"instances": [[0, -Infinity]]}', "instances[0] has a number that is not a finite float32"),
        ({"instances": [[0, 10**400]]}, "instances[0] has a number that is not a finite float32"),
    ],
)
def test_a_bad_body_is_a_400_with_the_reason(post, network, body, reason):
    status, answer = post(f"/predict/{network}", body)
    assert status == 400
    assert reason in answer["error"]


def test_another_network_is_not_found(post):
    status, answer = post("/predict/jax", {"instances": TABLE})
    assert status == 404
    assert answer["error"] == "no network 'jax'; there are: torch, tensorflow"


def test_a_body_that_is_too_large_is_refused(post):
    status, answer = post("/predict/torch", b" " * 1_000_001)
    assert status == 413
    assert answer["error"]


def test_without_an_export_it_says_what_to_do(tmp_path):
    command = [sys.executable, str(APP), f"--build-dir={tmp_path}", "--port=0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"no or_gate_keras in {tmp_path}/serving: run `make export` first"
