"""Each recorded scenario of changing files, configurations and versions goes as recorded."""

import pytest

from tests.serving.golden.recorded import Case, parameters, scenarios
from tests.serving.golden.scenario import Scenario
from tests.serving.golden.server import Servers

pytestmark = pytest.mark.slow


def play(servers: Servers, program, case: Case) -> list[str]:
    return Scenario(servers, program).differences(case.data["steps"])


@pytest.mark.parametrize(("program", "case"), parameters(scenarios()))
def test_the_scenario_goes_as_recorded(played, program, case):
    found = played(program, case)
    assert not found, "\n".join(found)
