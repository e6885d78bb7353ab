"""States of versions, and the wait for models that are new."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.errors import Code, StatusError
from serving.manager.states import State, States, VersionState

SOON = 30
BROKEN = StatusError(Code.DATA_LOSS, "broken")


@pytest.fixture
def states():
    return States()


def test_the_numbers_are_those_of_the_protocol():
    assert {state.name: state.value for state in State} == {
        "START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50,
    }  # fmt: skip


def test_versions_come_highest_first_and_stay_known(states):
    for version in (2, 10, -1):
        states.set("m", version, State.START)
    states.set("m", 2, State.END, BROKEN)
    assert list(states.of("m").items()) == [
        (10, VersionState(State.START)),
        (2, VersionState(State.END, BROKEN)),
        (-1, VersionState(State.START)),
    ]
    assert states.of("other") == {}


def test_what_is_given_out_is_a_copy(states):
    states.set("m", 1, State.START)
    states.of("m").clear()
    assert list(states.of("m")) == [1]


def test_errors_are_listed_by_model_and_forgotten(states):
    states.set("a", 1, State.END, BROKEN)
    states.set("a", 2, State.AVAILABLE)
    states.set("b", 1, State.END, BROKEN)
    assert states.failed(["a", "c"]) == {("a", 1): BROKEN}
    states.forget_errors(["a", "c"])
    assert states.failed(["a", "b"]) == {("b", 1): BROKEN}
    assert states.of("a")[1] == VersionState(State.END)


@pytest.mark.parametrize(
    ("versions", "is_settled"),
    [
        ({}, False),
        ({1: (State.START,)}, False),
        ({1: (State.LOADING,)}, False),
        ({1: (State.AVAILABLE,)}, True),
        ({1: (State.END, BROKEN)}, True),
        ({1: (State.END,)}, False),
        ({1: (State.UNLOADING,)}, False),
        ({1: (State.AVAILABLE,), 2: (State.LOADING,)}, False),
        ({1: (State.AVAILABLE,), 2: (State.START,)}, False),
        ({1: (State.AVAILABLE,), 2: (State.UNLOADING,)}, True),
        ({1: (State.END, BROKEN), 2: (State.END, BROKEN)}, True),
    ],
)
def test_a_model_is_settled_once_each_version_was_tried_and_one_has_a_result(states, versions, is_settled):
    for version, state in versions.items():
        states.set("m", version, *state)
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(states.wait_until_settled, ["m"], done.is_set)
        if not is_settled:
            with pytest.raises(TimeoutError):
                waiting.result(0.05)
            done.set()
        waiting.result(SOON)


def test_a_version_that_waits_for_its_retry_holds_nobody_up(states):
    states.set("m", 1, State.AVAILABLE)
    states.set("m", 2, State.LOADING, is_waiting=True)
    states.wait_until_settled(["m"], lambda: False)


def test_the_wait_ends_with_the_last_model(states):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(states.wait_until_settled, iter(["a", "b"]), lambda: False)
        states.set("a", 1, State.AVAILABLE)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        states.set("b", 1, State.END, BROKEN)
        waiting.result(SOON)


def test_nothing_to_wait_for(states):
    states.wait_until_settled([], lambda: False)
