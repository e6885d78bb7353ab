"""Each recorded call gets the recorded answer, over gRPC and over REST."""

import pytest

from tests.serving.golden.deviations import DEVIATIONS
from tests.serving.golden.recorded import calls, command_lines, parameters, scenarios

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("program", "case"), parameters(calls()))
def test_the_answer_is_the_recorded_one(servers, program, case):
    found = servers.differences(program, case)
    assert not found, "\n".join(found)


def test_every_deviation_is_one_of_a_recorded_case():
    assert DEVIATIONS.keys() <= {case.id for case in [*calls(), *command_lines(), *scenarios()]}
