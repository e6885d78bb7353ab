"""Versions that come and go while another one is tried again and again."""

import pytest

from tests.serving.golden.recorded import Case, parameters
from tests.serving.golden.scenario import Scenario
from tests.serving.golden.server import Servers

pytestmark = pytest.mark.slow

FLAGS = ("--port=<GRPC>", "--rest_api_port=<REST>", "--model_name=m", "--model_base_path=<BASE>/m")


def copy(version):
    return {"do": "copy", "from": version, "to": f"m/{version.partition('/')[2]}"}


def state(version, wanted, **status):
    """The state of a version, which comes within 3 s."""
    request = {"model_spec": {"name": "m", "version": version}}
    expect = {"model_version_status": [{"version": version, "state": wanted, "status": status}]}
    return {
        "do": "call",
        "within": 3,
        "grpc": {"method": "GetModelStatus", "request": request},
        "expect": {"code": "OK", "message": "", "response": expect},
    }


CASES = {
    "retries-end-when-the-version-is-not-wanted-any-more": [  # by default the next attempt is a minute away
        copy("half_plus_two/1"),
        {"do": "start", "flags": [*FLAGS], "expect": {"state": "ready"}},
        copy("broken/2"),
        state("2", "LOADING"),
        state("1", "AVAILABLE"),
        copy("half_plus_two/3"),
        state("2", "END", error_code="<ANY>", error_message="<ANY>"),
        state("3", "AVAILABLE"),
        state("1", "END"),
    ],
    "an-older-version-that-is-wanted-again-is-unloaded-first": [  # so the retries of the newer one go on
        copy("half_plus_two/1"),
        {"do": "start", "flags": [*FLAGS], "expect": {"state": "ready"}},
        copy("broken/2"),
        state("2", "LOADING"),
        {"do": "remove", "path": "m/2"},
        {"do": "sleep", "seconds": 1.5},
        state("2", "LOADING"),
        state("1", "AVAILABLE"),
    ],
    "no-second-attempt": [
        copy("half_plus_two/1"),
        {"do": "start", "flags": [*FLAGS, "--max_num_load_retries=0"], "expect": {"state": "ready"}},
        copy("broken/2"),
        state("2", "END", error_code="DATA_LOSS", error_message="<ANY>"),
    ],
}


@pytest.mark.parametrize(("program", "case"), parameters(Case(name, {"steps": steps}) for name, steps in CASES.items()))
def test_the_versions_go_as_told(tmp_path, program, case):
    found = Scenario(Servers(lambda: tmp_path), program).differences(case.data["steps"])
    assert not found, "\n".join(found)
