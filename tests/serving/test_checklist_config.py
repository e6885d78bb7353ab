"""The polled config file, and policies: what no recorded scenario shows."""

import pytest

from tests.serving.golden.recorded import Case, parameters
from tests.serving.golden.scenario import Scenario
from tests.serving.golden.server import Servers

pytestmark = pytest.mark.slow

POLLED = ("--model_config_file=<BASE>/c", "--model_config_file_poll_wait_seconds=1")

FLAGS = ("--port=<GRPC>", "--rest_api_port=<REST>", "--max_num_load_retries=0")


def start(*flags):
    return {"do": "start", "flags": [*FLAGS, *flags], "expect": {"state": "ready"}}


def write(text):
    return {"do": "write", "path": "c", "text": text}


def config(name, more=""):
    return f'config {{ name: "{name}" base_path: "<MODELS>/half_plus_two" model_platform: "tensorflow" {more} }}'


def listed(*configs):
    return write(f"model_config_list {{ {' '.join(configs)} }}\n")


def get(path, status, *, within=0):
    expect = {"status": status, "content_type": "application/json", "body": "<ANY>"}
    return {"do": "call", "within": within, "rest": {"method": "GET", "path": f"/v1/models/{path}"}, "expect": expect}


def predict(path, status, *, within=0):
    rest = {"method": "POST", "path": f"/v1/models/{path}:predict", "body": '{"instances": [2.0]}'}
    expect = {"status": status, "content_type": "application/json", "body": "<ANY>"}
    return {"do": "call", "within": within, "rest": rest, "expect": expect}


LONGER_THAN_A_POLL = {"do": "sleep", "seconds": 1.3}

CASES = {
    "a-polled-file-is-put-in-force": [
        listed(config("a")),
        start(*POLLED),
        listed(config("a"), config("b", 'version_labels { key: "l" value: 3 }')),  # b is not available yet
        LONGER_THAN_A_POLL,
        get("b", 404),
        listed(config("a"), config("b")),
        predict("b", 200, within=3),
        listed(config("a"), config("b", 'version_labels { key: "l" value: 3 }')),
        predict("b/labels/l", 200, within=3),
        listed(config("b")),
        predict("a", 404, within=3),
        predict("b/labels/l", 400),  # labels that are left out vanish
        listed(),
        predict("b", 404, within=3),
        listed(config("a")),
        predict("a", 200, within=3),
    ],
    "a-bad-file-leaves-the-old-config": [
        listed(config("a")),
        start(*POLLED),
        write("nonsense"),
        LONGER_THAN_A_POLL,
        predict("a", 200),
        write(""),
        LONGER_THAN_A_POLL,
        predict("a", 200),
        write("custom_model_config { }\n"),
        LONGER_THAN_A_POLL,
        predict("a", 200),
        {"do": "remove", "path": "c"},
        LONGER_THAN_A_POLL,
        predict("a", 200),
    ],
    "no-poll-by-default": [
        listed(config("a")),
        start("--model_config_file=<BASE>/c"),
        listed(config("b")),
        LONGER_THAN_A_POLL,
        predict("a", 200),
        get("b", 404),
    ],
    "zero-versions-mean-one": [
        listed(config("a", "model_version_policy { latest { num_versions: 0 } }")),
        start("--model_config_file=<BASE>/c"),
        predict("a/versions/3", 200),
        predict("a/versions/2", 404),
    ],
}


@pytest.mark.parametrize(("program", "case"), parameters(Case(name, {"steps": steps}) for name, steps in CASES.items()))
def test_the_config_goes_as_told(tmp_path, program, case):
    found = Scenario(Servers(lambda: tmp_path), program).differences(case.data["steps"])
    assert not found, "\n".join(found)
