"""ONNX's own operator tests, each converted, saved, loaded again and run; in processes that may crash."""

import pytest

from benchmarks.onnx_conformance.cases import cases
from benchmarks.onnx_conformance.exceptions import AS_DEFINED, EXCEPTIONS
from benchmarks.onnx_conformance.running import run_cases

pytestmark = pytest.mark.slow

NAMES = [case.name for case in cases() if not case.is_expanded]


@pytest.fixture(scope="module")
def outcomes(request):
    """Outcomes of the tests that were selected, by name."""
    names = [item.callspec.params["name"] for item in request.session.items if "outcomes" in item.fixturenames]
    return {outcome.name: outcome for outcome in run_cases(names, converter="showdown", as_defined=AS_DEFINED)}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_operator(outcomes, name):
    outcome = outcomes[name]
    if name in EXCEPTIONS:
        assert outcome.status not in {"passed", "crashed", "hung"}, "passes by now: take it out of EXCEPTIONS"
    else:
        assert outcome.status == "passed", outcome.reason


def test_every_exception_is_a_test_that_there_is():
    assert set(EXCEPTIONS) <= set(NAMES)
    assert all(EXCEPTIONS.values())


def test_at_least_1066_of_the_1118_pass():
    assert len(NAMES) == 1118
    assert len(NAMES) - len(EXCEPTIONS) >= 1066
