"""The manager with a fake loader: the order of loads and unloads, leases, retries, what fails."""

import threading
import time

import pytest

from contract.errors import Code, FormatError, StatusError
from serving.manager.manager import Manager, Retries
from serving.manager.states import State, States

BROKEN = StatusError(Code.DATA_LOSS, "broken")
NEVER = Retries(0, 0)


class Managed:
    """A manager, and what it has noted."""

    def __init__(self, fake, retries, num_load_threads):
        self.states = States()
        self.manager = Manager(fake, self.states, retries=retries, num_load_threads=num_load_threads)

    def aspire(self, versions, name="m"):
        self.manager.set_aspired(name, versions)

    def state(self, version, name="m"):
        found = self.states.of(name).get(version)
        return found and found.state

    def error(self, version, name="m"):
        error = self.states.of(name)[version].error
        return error and (error.code, error.message)

    def serves(self, version=None, name="m"):
        """The version that a caller gets, None for none."""
        lease = self.manager.lease(name, version)
        if lease is None:
            return None
        with lease:
            return lease.version


@pytest.fixture
def start(fake):
    started = []

    def make(retries=NEVER, num_load_threads=4):
        started.append(Managed(fake, retries, num_load_threads))
        return started[-1]

    yield make
    for event in fake.held.values():
        event.set()
    for one in started:
        one.manager.stop()


def quiet():
    """Long enough for several rounds of the manager."""
    time.sleep(0.25)


# Order.


def test_a_version_is_loaded_and_served(start, fake, versions, until):
    managed = start()
    assert managed.serves() is None
    managed.aspire(versions(1))
    assert until(managed.serves) == 1
    assert managed.serves(1) == 1
    assert managed.serves(2) is None
    assert managed.serves(name="other") is None
    assert managed.manager.is_available("m", 1)
    assert not managed.manager.is_available("m", 2)
    assert managed.state(1) is State.AVAILABLE


def test_the_highest_version_loads_first(start, fake, versions, until):
    managed = start(num_load_threads=1)
    managed.aspire(versions(2, 10, -3, 1))
    until(lambda: all(managed.serves(version) for version in (2, 10, -3, 1)))
    assert [version for _, _, version in fake.events] == [10, 2, 1, -3]
    assert managed.serves() == 10


def test_the_old_version_serves_until_the_new_one_is_ready(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    ready = fake.hold("m", 2)
    managed.aspire(versions(2))
    until(lambda: fake.loads("m", 2))
    quiet()
    assert (managed.serves(), managed.serves(1)) == (1, 1)
    assert managed.state(2) is State.LOADING
    ready.set()
    until(lambda: managed.state(1) is State.END)
    assert (managed.serves(), managed.serves(1)) == (2, None)
    assert fake.events == [("load", "m", 1), ("load", "m", 2), ("close", "m", 1)]


def test_the_old_version_stays_while_the_new_one_is_broken(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    fake.errors["m", 2] = [BROKEN]
    managed.aspire(versions(2))
    until(lambda: managed.state(2) is State.END)
    quiet()
    assert (managed.serves(), managed.state(1)) == (1, State.AVAILABLE)


def test_a_lower_version_takes_the_place_of_a_higher_one(start, versions, until):
    managed = start()
    managed.aspire(versions(5))
    until(managed.serves)
    managed.aspire(versions(2))
    until(lambda: managed.state(5) is State.END)
    assert managed.serves() == 2


def test_of_several_that_are_not_wanted_the_lowest_go_and_one_stays(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1, 2, 3))
    until(lambda: all(map(managed.serves, (1, 2, 3))))
    ready = fake.hold("m", 4)
    managed.aspire(versions(4))
    until(lambda: (managed.state(1), managed.state(2)) == (State.END, State.END))
    quiet()
    assert managed.serves() == 3
    ready.set()
    until(lambda: managed.state(3) is State.END)
    closed = [version for kind, _, version in fake.events if kind == "close"]
    assert (sorted(closed[:2]), closed[2:]) == ([1, 2], [3])  # the first two in threads of their own


def test_a_model_that_nobody_wants_goes(start, versions, until):
    managed = start()
    managed.aspire(versions(1, 2))
    until(lambda: managed.serves(1) and managed.serves(2))
    managed.aspire({})
    until(lambda: (managed.state(1), managed.state(2)) == (State.END, State.END))
    assert managed.serves() is None


def test_models_do_not_wait_for_each_other(start, fake, versions, until):
    managed = start(num_load_threads=2)
    fake.hold("slow", 1)
    managed.aspire(versions(1, name="slow"), "slow")
    until(lambda: fake.loads("slow", 1))
    managed.aspire(versions(1))
    assert until(managed.serves) == 1
    assert managed.serves(name="slow") is None


def test_as_many_versions_load_at_once_as_there_are_threads(start, fake, versions, until):
    managed = start(num_load_threads=2)
    for version in (1, 2, 3):
        fake.hold("m", version)
    managed.aspire(versions(1, 2, 3))
    until(lambda: len(fake.events) == 2)
    quiet()
    assert sorted(fake.events) == [("load", "m", 2), ("load", "m", 3)]
    managed.manager.set_num_load_threads(1)
    for version in (1, 2, 3):
        fake.hold("m", version).set()
    until(lambda: all(map(managed.serves, (1, 2, 3))))


def test_a_version_given_up_before_its_turn_is_never_loaded(start, fake, versions, until):
    managed = start(num_load_threads=1)
    first = fake.hold("m", 9)
    managed.aspire(versions(9))
    until(lambda: fake.loads("m", 9))
    managed.aspire(versions(9, 1))
    until(lambda: managed.state(1))
    managed.aspire(versions(9))
    first.set()
    until(lambda: managed.serves(9))
    assert managed.state(9) is State.AVAILABLE


# Leases.


def test_a_lease_keeps_a_version_alive(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    one, other = managed.manager.lease("m"), managed.manager.lease("m", 1)
    assert one.servable is other.servable
    managed.aspire({})
    until(lambda: managed.state(1) is State.UNLOADING)
    assert managed.serves() is None
    one.__exit__(None, None, None)
    quiet()
    assert not other.servable.is_closed
    assert managed.state(1) is State.UNLOADING
    with other:
        pass
    until(lambda: managed.state(1) is State.END)
    assert other.servable.is_closed


def test_a_version_in_use_does_not_hold_up_others(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    with managed.manager.lease("m"):
        managed.aspire(versions(2))
        until(lambda: managed.serves() == 2)
        managed.aspire(versions(3))
        until(lambda: managed.state(2) is State.END)
        assert managed.serves() == 3
        assert managed.state(1) is State.UNLOADING
    until(lambda: managed.state(1) is State.END)


def test_callers_never_see_a_version_that_is_closed(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    wrong = []
    done = threading.Event()

    def call():
        while not done.is_set():
            lease = managed.manager.lease("m")
            if lease is None:
                wrong.append("no version")
                continue
            with lease:
                time.sleep(0)
                if lease.servable.is_closed:
                    wrong.append(lease.version)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for version in range(2, 12):
        managed.aspire(versions(version))
        until(lambda version=version: managed.state(version - 1) is State.END)
    done.set()
    for caller in callers:
        caller.join()
    assert wrong == []
    assert managed.serves() == 11


# Failures and retries.


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (BROKEN, Code.DATA_LOSS, "broken"),
        (FormatError("bad file"), Code.DATA_LOSS, "bad file"),
        (FileNotFoundError(2, "No such file", "/x/y"), Code.UNKNOWN, "/x/y; No such file"),
        (OSError(28, "No space left on device"), Code.UNKNOWN, "{path}; No space left on device"),
        (OSError("just text"), Code.UNKNOWN, "{path}; just text"),
        (MemoryError(), Code.RESOURCE_EXHAUSTED, "{path}: there is not enough memory"),
        (RuntimeError("odd"), Code.INTERNAL, "RuntimeError: odd"),
        (KeyError("x"), Code.INTERNAL, "KeyError: 'x'"),
    ],
)
def test_what_a_loader_raises(start, fake, versions, until, error, code, message):
    managed = start()
    fake.errors["m", 1] = [error]
    managed.aspire(versions(1))
    until(lambda: managed.state(1) is State.END)
    assert managed.error(1) == (code, message.format(path=versions(1)[1]))
    assert managed.serves() is None
    managed.aspire({**versions(1, 2)})
    assert until(managed.serves) == 2


def test_a_version_that_is_no_folder_is_not_tried(start, fake, tmp_path, until):
    managed = start(Retries(5, 0))
    (tmp_path / "2").write_text("a file")
    managed.aspire({1: tmp_path / "1", 2: tmp_path / "2"})
    until(lambda: managed.state(1) is managed.state(2) is State.END)
    start_of = "Error while attempting to reserve resources to load servable {name: m version: "
    assert managed.error(1) == (Code.NOT_FOUND, f"{start_of}1}}: {tmp_path / '1'}; No such file or directory")
    assert managed.error(2) == (Code.FAILED_PRECONDITION, f"{start_of}2}}: {tmp_path / '2'}; Not a directory")
    quiet()
    assert fake.events == []


def test_a_load_is_tried_again(start, fake, versions, until):
    managed = start(Retries(5, 0.05))
    fake.errors["m", 1] = [BROKEN, BROKEN, BROKEN, StatusError(Code.UNAVAILABLE, "last")]
    managed.aspire(versions(1))
    until(lambda: fake.loads("m", 1) == 3)
    del fake.errors["m", 1]
    assert until(managed.serves) == 1
    assert managed.error(1) is None
    assert fake.loads("m", 1) in (4, 5)


def test_between_attempts_it_is_loading(start, fake, versions, until):
    managed = start(Retries(5, 60))
    fake.errors["m", 1] = [BROKEN]
    managed.aspire(versions(1))
    until(lambda: managed.states.of("m") and managed.states.of("m")[1].is_waiting)
    assert managed.state(1) is State.LOADING
    assert managed.error(1) is None
    assert fake.loads("m", 1) == 1


def test_after_the_last_attempt_it_has_failed_and_is_left_alone(start, fake, versions, until):
    managed = start(Retries(2, 0.01))
    fake.errors["m", 1] = [BROKEN, BROKEN, StatusError(Code.UNAVAILABLE, "last")]
    managed.aspire(versions(1))
    until(lambda: managed.state(1) is State.END)
    assert managed.error(1) == (Code.UNAVAILABLE, "last")
    assert fake.loads("m", 1) == 3
    del fake.errors["m", 1]
    for _ in range(3):
        managed.aspire(versions(1))
    quiet()
    assert fake.loads("m", 1) == 3
    managed.aspire({})
    quiet()
    managed.aspire(versions(1))
    assert until(managed.serves) == 1
    assert fake.loads("m", 1) == 4


def test_a_negative_interval_is_none(start, fake, versions, until):
    managed = start(Retries(1, -5))
    fake.errors["m", 1] = [BROKEN]
    managed.aspire(versions(1))
    until(lambda: managed.state(1) is State.END)
    assert fake.loads("m", 1) == 2


def test_what_is_wanted_no_more_is_not_tried_on_and_on(start, fake, versions, until):
    managed = start(Retries(100, 60))
    fake.errors["m", 1] = [BROKEN]
    managed.aspire(versions(1))
    until(lambda: managed.states.of("m") and managed.states.of("m")[1].is_waiting)
    managed.aspire({})
    until(lambda: managed.state(1) is State.END)  # after the attempt that was due
    assert managed.error(1) == (Code.DATA_LOSS, "broken")
    quiet()
    assert fake.loads("m", 1) == 2


def test_a_version_given_up_while_it_loads_is_unloaded(start, fake, versions, until):
    managed = start()
    ready = fake.hold("m", 1)
    managed.aspire(versions(1))
    until(lambda: fake.loads("m", 1))
    managed.aspire({})
    quiet()
    assert managed.state(1) is State.LOADING
    ready.set()
    until(lambda: managed.state(1) is State.END)
    assert fake.events == [("load", "m", 1), ("close", "m", 1)]


# Wanted again.


def test_a_version_wanted_again_has_to_be_gone_first(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    with managed.manager.lease("m"):
        managed.aspire({})
        until(lambda: managed.state(1) is State.UNLOADING)
        managed.aspire(versions(1, 2))
        quiet()
        assert fake.loads("m", 2) == 0  # what was said with it waits too
    until(lambda: managed.serves(1) and managed.serves(2))
    assert fake.loads("m", 1) == 2


def test_a_version_wanted_again_while_its_heir_loads_is_loaded_again(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    ready = fake.hold("m", 2)
    managed.aspire(versions(2))
    until(lambda: fake.loads("m", 2))
    managed.aspire(versions(1))
    quiet()
    assert fake.loads("m", 1) == 1
    ready.set()
    until(lambda: fake.loads("m", 1) == 2 and managed.state(2) is State.END)
    assert managed.serves() == 1


def test_the_last_word_counts(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    with managed.manager.lease("m"):
        managed.aspire({})
        until(lambda: managed.state(1) is State.UNLOADING)
        managed.aspire(versions(1))
        managed.aspire(versions(3))
    until(managed.serves)
    assert managed.serves() == 3
    assert fake.loads("m", 1) == 1


# when_changed.

CHANGED = Retries(0, 0, when_changed=True)


def test_a_failed_version_is_tried_again_once_its_files_change(start, fake, versions, until):
    managed = start(CHANGED)
    fake.errors["m", 1] = [BROKEN]
    folder = versions(1)[1]
    (folder / "model").write_text("broken")
    managed.aspire(versions(1))
    until(lambda: managed.state(1) is State.END)
    managed.aspire(versions(1))
    quiet()
    assert fake.loads("m", 1) == 1
    (folder / "model").write_text("still broken")
    managed.aspire(versions(1))
    until(lambda: fake.loads("m", 1) == 2)
    until(lambda: managed.state(1) is State.END)
    managed.aspire(versions(1))
    quiet()
    assert fake.loads("m", 1) == 2
    del fake.errors["m", 1]
    (folder / "below").mkdir()
    (folder / "below/variables").write_text("whole")
    managed.aspire(versions(1))
    assert until(managed.serves) == 1
    assert managed.error(1) is None


def test_a_failed_version_that_was_away_comes_back(start, fake, versions, until):
    managed = start(CHANGED)
    folder = versions(1)[1]
    folder.rmdir()
    managed.aspire({1: folder})
    until(lambda: managed.state(1) is State.END)
    (folder / "model").parent.mkdir()
    (folder / "model").write_text("")
    managed.aspire({1: folder})
    assert until(managed.serves) == 1


def test_a_version_wanted_again_goes_on_serving(start, fake, versions, until):
    managed = start(CHANGED)
    managed.aspire(versions(1))
    until(managed.serves)
    ready = fake.hold("m", 2)
    managed.aspire(versions(2))
    until(lambda: fake.loads("m", 2))
    managed.aspire(versions(1))
    ready.set()
    until(lambda: managed.state(2) is State.END)
    assert managed.serves() == 1
    assert fake.loads("m", 1) == 1


def test_a_version_on_its_way_out_has_to_be_gone_first_all_the_same(start, fake, versions, until):
    managed = start(CHANGED)
    managed.aspire(versions(1))
    until(managed.serves)
    with managed.manager.lease("m"):
        managed.aspire({})
        until(lambda: managed.state(1) is State.UNLOADING)
        managed.aspire(versions(1))
        quiet()
        assert managed.serves() is None
    assert until(managed.serves) == 1
    assert fake.loads("m", 1) == 2


def test_odd_files_in_a_version_do_no_harm(start, fake, versions, until):
    managed = start(CHANGED)
    fake.errors["m", 1] = [BROKEN]
    folder = versions(1)[1]
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    managed.aspire(versions(1))
    until(lambda: managed.state(1) is State.END)
    assert managed.error(1) == (Code.DATA_LOSS, "broken")
    del fake.errors["m", 1]
    (folder / "model").write_text("")
    managed.aspire(versions(1))
    assert until(managed.serves) == 1


# The end.


def test_stopping_while_a_version_loads(start, fake, versions, until):
    managed = start(Retries(5, 0), num_load_threads=1)
    ready = fake.hold("m", 2)
    fake.errors["m", 2] = [BROKEN]
    managed.aspire(versions(1, 2))
    until(lambda: fake.loads("m", 2))
    managed.manager.stop()
    ready.set()
    until(lambda: managed.state(2) is State.END)
    quiet()
    assert fake.events == [("load", "m", 2)]
    managed.manager.stop()


def test_what_is_loaded_stays_after_the_stop(start, fake, versions, until):
    managed = start()
    managed.aspire(versions(1))
    until(managed.serves)
    managed.manager.stop()
    managed.aspire({})
    quiet()
    assert managed.serves() == 1
