"""Requests in batches before a fake runnable, in the shapes of TensorFlow Serving's recorded answers."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from serving.batching.parameters import BatchingParameters
from serving.batching.scheduler import SharedBatchScheduler
from serving.batching.session import BatchingRunnable

SOON = 30
TIMED_OUT = (Code.DEADLINE_EXCEEDED, "Run() timeout exceeded while waiting in batching queue")
DIFFERENT_SHAPES = (
    Code.FAILED_PRECONDITION,
    (
        "Tensors with name 'x:0' from different tasks have different shapes and padding is turned off. Set "
        "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions "
        "starting with the first dim."
    ),
)
EMPTY = (Code.INVALID_ARGUMENT, "Got empty tensor in batch of non-empty tensors.")
SCALAR_OUTPUT = (Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
WRONG_ROWS = (
    Code.FAILED_PRECONDITION,
    "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors",
)

# The set-ups of the recorded answers.
ALLOWED: dict[str, Any] = {"max_batch_size": 8, "max_enqueued_batches": 100, "allowed_batch_sizes": (2, 4, 8)}
PADDED: dict[str, Any] = {"max_batch_size": 8, "max_enqueued_batches": 100, "pad_variable_length_inputs": True}
SPLIT: dict[str, Any] = {
    "max_batch_size": 16,
    "max_execution_batch_size": 4,
    "enable_large_batch_splitting": True,
    "max_enqueued_batches": 100,
}
PLAIN: dict[str, Any] = {"max_batch_size": 8, "max_enqueued_batches": 100}


def floats(values):
    return Tensor(DataType.FLOAT, np.array(values, np.float32))


def ints(values):
    return Tensor(DataType.INT32, np.array(values, np.int32))


def zeros(*shape):
    return floats(np.zeros(shape))


FETCHED = {
    "y:0": lambda x: x,
    "double:0": lambda x: Tensor(x.dtype, x.array * 2),
    "size:0": lambda n: ints([len(n.array)] * len(n.array)),
    "width:0": lambda x: ints([x.array.shape[1]] * len(x.array)),
    "total:0": lambda x: Tensor(x.dtype, x.array.sum()),
    "tail:0": lambda x: Tensor(x.dtype, x.array[1:]),
    "twice:0": lambda x: Tensor(x.dtype, np.concatenate([x.array, x.array])),
}


class FakeModel:
    """A runnable that computes the fetches of `FETCHED` of its last feed; it runs nothing while it is shut."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.runs: list[tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...], float | None]] = []
        self.error: Exception | None = None

    def run(self, feeds, inputs, fetches, timeout):
        self.runs.append((tuple(feeds), inputs[-1].array.shape, tuple(fetches), timeout))
        assert self.open.wait(SOON)
        if self.error is not None:
            raise self.error
        return [FETCHED[name](inputs[-1]) for name in fetches if name in FETCHED]


class FakeObserver:
    def __init__(self):
        self.waits = []
        self.batches = []

    def queued(self, seconds, thread_pool_name):
        self.waits.append((seconds, thread_pool_name))

    def ran(self, input_rows, processed_rows, padding_rows):
        self.batches.append((input_rows, processed_rows, padding_rows))


@pytest.fixture
def model():
    return FakeModel()


@pytest.fixture
def start(model):
    schedulers = []

    def make(observer=None, **fields):
        schedulers.append(SharedBatchScheduler(BatchingParameters(**{"num_batch_threads": 1, **fields})))
        return BatchingRunnable(model, schedulers[-1], observer)

    yield make
    model.open.set()
    for scheduler in schedulers:
        scheduler.close()


def ask(runnable, tensor, fetch="y:0", timeout: float | None = SOON):
    """What a caller gets: the values of one output, or code and message."""
    try:
        (answer,) = runnable.run(["x:0"], [tensor], [fetch], timeout)
    except StatusError as err:
        return err.code, err.message
    return answer.array.tolist()


def until(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting(runnable):
    return sum(len(batch.tasks) for _, queue in runnable._queues.values() for batch in queue.batches)


def together(runnable, model, *calls):
    """Makes calls that queue up, in this order, behind one that keeps the only thread."""
    model.open.clear()
    before = len(model.runs)
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        plug = pool.submit(ask, runnable, floats([0]), "double:0")
        until(lambda: len(model.runs) > before)
        answers = []
        for place, call in enumerate(calls):
            answers.append(pool.submit(ask, runnable, *call))
            until(lambda place=place: waiting(runnable) > place)
        model.open.set()
        assert plug.result(SOON) == [0]
        return [answer.result(SOON) for answer in answers]


# One request.


@pytest.mark.parametrize("setup", [ALLOWED, PADDED, SPLIT, PLAIN])
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_a_request_gets_its_own_rows(start, setup, rows):
    x = floats(np.arange(rows * 2).reshape(rows, 2))
    assert ask(start(**setup), x) == x.array.tolist()


@pytest.mark.parametrize(
    ("setup", "rows", "sizes"),
    [
        (ALLOWED, 1, [2]),
        (ALLOWED, 3, [4] * 3),
        (ALLOWED, 5, [8] * 5),
        (PADDED, 3, [3] * 3),
        (PADDED, 8, [8] * 8),
        (SPLIT, 3, [3] * 3),
        (SPLIT, 5, [4] * 4 + [1]),
        (SPLIT, 12, [4] * 12),
        (ALLOWED, 16, (Code.INVALID_ARGUMENT, "Task size 16 is larger than maximum input batch size 8")),
        (PADDED, 17, (Code.INVALID_ARGUMENT, "Task size 17 is larger than maximum input batch size 8")),
        (SPLIT, 17, (Code.INVALID_ARGUMENT, "Task size 17 is larger than maximum input batch size 16")),
        (
            {"max_batch_size": 4, "allowed_batch_sizes": (2, 4)},
            5,
            (Code.INVALID_ARGUMENT, "Task size 5 is larger than maximum input batch size 4"),
        ),
    ],
)
def test_a_batch_has_the_size_that_is_allowed(start, setup, rows, sizes):
    assert ask(start(**setup), ints([0] * rows), "size:0") == sizes


@pytest.mark.parametrize("setup", [ALLOWED, PADDED, SPLIT])
@pytest.mark.parametrize(
    ("x", "fetch", "answer"),
    [
        (zeros(3, 2), "total:0", SCALAR_OUTPUT),
        (zeros(1, 2), "total:0", SCALAR_OUTPUT),
        (zeros(2), "tail:0", WRONG_ROWS),
        (zeros(1), "twice:0", WRONG_ROWS),
        (
            floats(1.0),
            "y:0",
            (Code.INVALID_ARGUMENT, "Batching Run() input tensors must have at least one dimension"),
        ),
    ],
)
def test_what_cannot_be_batched(start, setup, x, fetch, answer):
    assert ask(start(**setup), x, fetch) == answer


def test_inputs_need_equal_rows(start):
    with pytest.raises(StatusError) as caught:
        start().run(["a:0", "b:0"], [zeros(2), zeros(1)], ["y:0"], None)
    assert caught.value.message == "Batching Run() input tensors must have equal 0th-dimension size"


def test_an_output_that_is_missing(start):
    with pytest.raises(StatusError) as caught:
        start().run(["x:0"], [zeros(2)], ["y:0", "nothing:0"], None)
    assert (caught.value.code, caught.value.message) == (Code.INTERNAL, "Wrong number of batched output tensors")


def test_names_come_in_any_order_and_fetches_more_than_once(start, model):
    runnable = start()
    a, b = floats([1]), floats([2])
    for feeds, inputs in ((["b:0", "a:0"], [b, a]), (["a:0", "b:0"], [a, b])):
        outputs = runnable.run(feeds, inputs, ["y:0", "double:0", "y:0"], None)
        assert [tensor.array.tolist() for tensor in outputs] == [[2], [4], [2]]
    assert [(feeds, fetches) for feeds, _, fetches, _ in model.runs] == [(("a:0", "b:0"), ("double:0", "y:0"))] * 2
    assert len(runnable._queues) == 1


def test_a_tensor_is_fed_once(start):
    with pytest.raises(StatusError) as caught:
        start().run(["x:0", "x:0"], [zeros(1), zeros(1)], ["y:0"], None)
    assert caught.value.message == 'Endpoint "x:0" fed more than once.'


def test_parameters_are_checked(model):
    scheduler = SharedBatchScheduler(BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4,)))
    with pytest.raises(StatusError, match="last entry was 4; expected 8"):
        BatchingRunnable(model, scheduler)


# Several requests.


@pytest.mark.parametrize(
    ("setup", "size"), [(PLAIN, 6), (ALLOWED, 8), ({**ALLOWED, "allowed_batch_sizes": (4, 8)}, 8), (PADDED, 6)]
)
def test_requests_share_a_batch(start, model, setup, size):
    calls = [(ints([0] * rows), "size:0") for rows in (1, 2, 3)]
    assert together(start(**setup), model, *calls) == [[size], [size] * 2, [size] * 3]


@pytest.mark.parametrize(("setup", "sizes"), [(PLAIN, (5, 4)), ({**ALLOWED, "allowed_batch_sizes": (4, 8)}, (8, 4))])
def test_requests_that_do_not_fit_do_not_share_a_batch(start, model, setup, sizes):
    calls = [(ints([0] * rows), "size:0") for rows in (5, 4)]
    assert together(start(**setup), model, *calls) == [[sizes[0]] * 5, [sizes[1]] * 4]


def test_each_request_gets_its_own_rows(start, model):
    calls = [(floats([[row, row]] * row),) for row in (1, 2, 3)]
    assert together(start(**ALLOWED), model, *calls) == [[[row, row]] * row for row in (1, 2, 3)]


def test_different_fetches_do_not_share_a_batch(start, model):
    assert together(start(), model, (floats([1]), "y:0"), (floats([2]), "size:0")) == [[1], [1]]
    assert [shape for _, shape, _, _ in model.runs] == [(1,)] * 3


def test_different_widths_fail_together(start, model):
    runnable = start(**PLAIN)
    assert together(runnable, model, (zeros(1, 2),), (zeros(2, 3),)) == [DIFFERENT_SHAPES] * 2
    assert ask(runnable, zeros(1, 2)) == [[0, 0]]


def test_different_widths_are_padded(start, model):
    runnable = start(**PADDED)
    narrow, wide = floats([[1, 2]]), floats([[1, 2, 3], [4, 5, 6]])
    assert together(runnable, model, (narrow,), (wide,)) == [[[1, 2, 1]], [[1, 2, 3], [4, 5, 6]]]
    assert together(runnable, model, (narrow, "width:0"), (wide, "width:0")) == [[3], [3, 3]]


def test_different_types_fail_together_and_the_next_batch_runs(start, model):
    runnable = start()
    answer = (
        Code.INVALID_ARGUMENT,
        "Tensors with name 'x:0' from different tasks have different types: DT_FLOAT and DT_INT32",
    )
    assert together(runnable, model, (floats([1]),), (ints([1]),)) == [answer] * 2
    assert ask(runnable, ints([1])) == [1]


def test_an_error_of_the_run_goes_to_every_request(start, model):
    runnable = start()
    model.error = StatusError(Code.INVALID_ARGUMENT, "assertion failed")
    model.open.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, runnable, floats([1]))
        until(lambda: model.runs)
        others = [pool.submit(ask, runnable, floats([1])) for _ in range(2)]
        until(lambda: waiting(runnable) == 2)
        model.open.set()
        answers = [call.result(SOON) for call in (first, *others)]
    assert answers == [(Code.INVALID_ARGUMENT, "assertion failed")] * 3
    assert len(model.runs) == 2
    model.error = None
    assert ask(runnable, floats([1])) == [1]


def test_an_unknown_error_is_internal_and_the_thread_lives_on(start, model, caplog):
    runnable = start()
    model.error = ValueError("what")
    assert ask(runnable, floats([1])) == (Code.INTERNAL, "ValueError: what")
    assert "ValueError: what" in caplog.text
    model.error = None
    assert ask(runnable, floats([1])) == [1]


def test_a_part_that_fails_fails_the_request(start, model):
    runnable = start(**SPLIT)
    # A scalar fails every part; the caller hears of it once, and only when no part runs any more.
    assert ask(runnable, zeros(9), "total:0") == SCALAR_OUTPUT
    assert len(model.runs) == 3


def test_parts_of_two_requests_share_a_batch(start, model):
    runnable = start(**SPLIT)
    calls = [(ints([0] * 3), "size:0"), (ints([0] * 6), "size:0"), (ints([0] * 3), "size:0")]
    assert together(runnable, model, *calls[:2]) == [[4] * 3, [4] * 5 + [1]]
    assert together(runnable, model, *calls) == [[4] * 3, [4] * 6, [4] * 3]
    assert together(runnable, model, (floats([1, 2, 3]),), (floats([4, 5, 6, 7, 8]),)) == [[1, 2, 3], [4, 5, 6, 7, 8]]


def test_a_full_queue_refuses(start, model):
    runnable = start(max_batch_size=1, max_enqueued_batches=2)
    model.open.clear()
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(ask, runnable, floats([1]))]
        until(lambda: model.runs)
        calls += [pool.submit(ask, runnable, floats([1])) for _ in range(11)]
        until(lambda: sum(call.done() for call in calls) == 9)
        model.open.set()
        answers = [call.result(SOON) for call in calls]
    message = (
        "The batch scheduling queue to which this task was submitted is full; currently 2 batches enqueued and "
        "max_enqueued_batches is 2"
    )
    assert answers.count([1]) == 3
    assert answers.count((Code.UNAVAILABLE, message)) == 9


# Requests without rows, and empty tensors: the recorded answers depend on the request before.


@pytest.mark.parametrize("setup", [ALLOWED, PADDED, SPLIT])
def test_a_request_without_rows_waits_for_its_deadline(start, model, setup):
    started = time.monotonic()
    assert ask(start(**setup), zeros(0, 2), timeout=0.05) == TIMED_OUT
    assert time.monotonic() - started >= 0.05
    assert not model.runs


@pytest.mark.parametrize(("setup", "answer"), [(ALLOWED, DIFFERENT_SHAPES), (PADDED, EMPTY), (SPLIT, DIFFERENT_SHAPES)])
def test_a_request_without_rows_stays_in_its_batch(start, setup, answer):
    """Cases 007 and 008, 025 and 026, 043 and 044: the second one meets the first one, whose caller is gone."""
    runnable = start(**setup)
    assert ask(runnable, zeros(0, 2), timeout=0.01) == TIMED_OUT
    assert ask(runnable, zeros(2, 0)) == answer
    assert ask(runnable, zeros(2, 0)) == [[], []]


def test_a_request_without_rows_is_answered_with_its_batch(start):
    runnable = start(**ALLOWED)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, runnable, zeros(0, 2), timeout=None)
        until(lambda: waiting(runnable) == 1)
        assert ask(runnable, floats([[1, 2]])) == [[1, 2]]
        assert call.result(SOON) == []


# Deadlines.


def test_a_deadline_passes_in_the_queue(start, model):
    runnable = start(batch_timeout_micros=10**9)
    started = time.monotonic()
    assert ask(runnable, floats([1]), timeout=0.1) == TIMED_OUT
    assert 0.1 <= time.monotonic() - started < 10
    assert not model.runs


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_deadline_that_has_passed(start, timeout):
    assert ask(start(batch_timeout_micros=10**9), floats([1]), timeout=timeout) == TIMED_OUT


def test_a_batch_whose_callers_are_gone_is_not_run(start, model):
    runnable = start(batch_timeout_micros=50_000)
    assert ask(runnable, ints([0]), "size:0", timeout=0.01) == TIMED_OUT
    until(lambda: not waiting(runnable))
    assert ask(runnable, ints([0, 0]), "size:0") == [2, 2]
    assert len(model.runs) == 1


def test_rows_whose_caller_is_gone_are_run_with_the_others(start, model):
    """The scenario batch_deadline: the last call gets a batch of 1 + 1 + 2 rows."""
    runnable = start(**PLAIN)
    model.open.clear()
    with ThreadPoolExecutor(2) as pool:
        plug = pool.submit(ask, runnable, floats([0]), "double:0")
        until(lambda: model.runs)
        for _ in range(2):
            assert ask(runnable, ints([0]), "size:0", timeout=0.01) == TIMED_OUT
        last = pool.submit(ask, runnable, ints([0, 0]), "size:0")
        until(lambda: waiting(runnable) == 3)
        model.open.set()
        assert (plug.result(SOON), last.result(SOON)) == ([0], [4, 4])


def test_a_deadline_passes_in_the_run(start, model):
    runnable = start()
    model.open.clear()
    code, message = ask(runnable, floats([1]), timeout=0.1)
    assert (code, message) == (Code.DEADLINE_EXCEEDED, "Run() timeout exceeded while the batch was running")


@pytest.mark.parametrize(("timeouts", "latest"), [((10, 20, 15), 20), ((10, None, 15), None)])
def test_a_batch_runs_until_its_latest_deadline(start, model, timeouts, latest):
    together(start(**PLAIN), model, *[(floats([1]), "y:0", timeout) for timeout in timeouts])
    _, shape, _, timeout = model.runs[-1]
    assert shape == (3,)
    assert timeout == latest if latest is None else 0 < latest - timeout < 5


def test_the_longest_timeout_does_no_harm(start):
    assert ask(start(), floats([1]), timeout=1e300) == [1]


# Closing.


def test_closing_answers_those_who_wait(start, model):
    runnable = start(**PLAIN)
    model.open.clear()
    with ThreadPoolExecutor(9) as pool:
        running = pool.submit(ask, runnable, floats([1]))
        until(lambda: model.runs)
        calls = [pool.submit(ask, runnable, x, timeout=None) for x in (floats([1]), floats([1]))]
        until(lambda: waiting(runnable) == 2)
        closing = pool.submit(runnable.close)
        answers = [call.result(SOON) for call in calls]
        assert not closing.done()
        model.open.set()
        assert running.result(SOON) == [1]
        closing.result(SOON)
    assert [code for code, _ in answers] == [Code.UNAVAILABLE] * 2
    for fetch in ("y:0", "size:0"):
        assert ask(runnable, floats([1]), fetch)[0] is Code.UNAVAILABLE


def test_closing_answers_a_request_without_rows(start):
    runnable = start()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, runnable, zeros(0, 2), timeout=None)
        until(lambda: waiting(runnable) == 1)
        runnable.close()
        assert call.result(SOON)[0] is Code.UNAVAILABLE


def test_closing_answers_a_split_request(start, model):
    runnable = start(**SPLIT)
    model.open.clear()
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(ask, runnable, zeros(9), timeout=None)
        until(lambda: model.runs)
        closing = pool.submit(runnable.close)
        until(lambda: not waiting(runnable))
        model.open.set()
        assert call.result(SOON)[0] is Code.UNAVAILABLE
        closing.result(SOON)


def test_closing_one_runnable_leaves_those_on_the_same_threads(model):
    scheduler = SharedBatchScheduler(BatchingParameters(num_batch_threads=1))
    first, second = BatchingRunnable(model, scheduler), BatchingRunnable(model, scheduler)
    assert ask(first, floats([1])) == [1]
    first.close()
    assert ask(second, floats([1])) == [1]
    scheduler.close()


# Metrics, and many callers.


def test_the_observer_hears_of_each_batch(start, model):
    observer = FakeObserver()
    runnable = start(observer, thread_pool_name="pool", **ALLOWED)
    together(runnable, model, (floats([1]),), (floats([1, 2]),))
    assert observer.batches == [(1, 2, 1), (3, 4, 1)]
    assert [name for _, name in observer.waits] == ["pool"] * 3
    assert all(seconds >= 0 for seconds, _ in observer.waits)


@pytest.mark.parametrize(
    "setup",
    [
        {"max_batch_size": 8, "num_batch_threads": 1},
        {"max_batch_size": 8, "num_batch_threads": 4, "allowed_batch_sizes": (4, 8)},
        {"max_batch_size": 4, "num_batch_threads": 4, "batch_timeout_micros": 500},
        {**SPLIT, "num_batch_threads": 3},
    ],
)
def test_many_callers_lose_nothing(start, model, setup):
    observer = FakeObserver()
    runnable = start(observer, **{**setup, "max_enqueued_batches": 10_000})
    callers, turns = 16, 60

    def call(caller):
        generator = np.random.default_rng(caller)
        total = 0
        for turn in range(turns):
            rows = int(generator.integers(1, 5))
            x = Tensor(DataType.INT32, np.full((rows, 2), caller * turns + turn, np.int32))
            fetch = ("y:0", "double:0")[turn % 2]
            (answer,) = runnable.run(["x:0"], [x], [fetch], SOON)
            np.testing.assert_array_equal(answer.array, x.array * (1 + turn % 2))
            total += rows
        return total

    with ThreadPoolExecutor(callers) as pool:
        rows = sum(pool.map(call, range(callers)))
    assert sum(batch[0] for batch in observer.batches) == rows
    assert len(observer.waits) >= callers * turns
    assert not waiting(runnable)


def test_closing_under_load_leaves_nobody_waiting(start):
    runnable = start(max_batch_size=4, num_batch_threads=2, max_enqueued_batches=1000)

    def call(caller):
        answers: list[Any] = []
        while not answers or answers[-1] == [caller]:
            answers.append(ask(runnable, ints([caller]), timeout=None))
        return len(answers), answers[-1]

    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(call, caller) for caller in range(16)]
        time.sleep(0.1)
        runnable.close()
        results = [call.result(SOON) for call in calls]
    assert {code for _, (code, _) in results} == {Code.UNAVAILABLE}
    assert sum(count for count, _ in results) > 16
