"""Queues and threads, with tasks that are only a number of rows."""

import threading
import time

import pytest

from contract.errors import Code, StatusError
from serving.batching.parameters import BatchingParameters
from serving.batching.scheduler import MAX_TASKS_WITHOUT_ROWS, SharedBatchScheduler

FULL = "The batch scheduling queue to which this task was submitted is full; "
SOON = 30


class FakeTask:
    def __init__(self, rows, name=""):
        self.rows = rows
        self.name = name
        self.error: StatusError | None = None

    def split(self, sizes):
        assert sum(sizes) == self.rows
        return [FakeTask(rows) for rows in sizes]

    def fail(self, error):
        self.error = error


class FakeWork:
    """Collects the batches that are run; holds them while it is shut."""

    def __init__(self):
        self.batches = []
        self.names = []
        self.open = threading.Event()
        self.changed = threading.Condition()

    def process(self, tasks):
        with self.changed:
            self.batches.append([task.rows for task in tasks])
            self.names += [task.name for task in tasks]
            self.changed.notify_all()
        assert self.open.wait(SOON)

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.batches) >= count, SOON), self.batches


@pytest.fixture
def work():
    work = FakeWork()
    yield work
    work.open.set()


@pytest.fixture
def start(work):
    schedulers = []

    def make(**fields):
        scheduler = SharedBatchScheduler(BatchingParameters(**{"num_batch_threads": 1, **fields}))
        schedulers.append(scheduler)
        return scheduler, scheduler.add_queue(work.process)

    yield make
    work.open.set()
    for scheduler in schedulers:
        scheduler.close()


def refusal(queue, rows):
    with pytest.raises(StatusError) as caught:
        queue.schedule(FakeTask(rows))
    return caught.value.code, caught.value.message


def failure(task):
    return task.error.code if task.error else None


def test_tasks_that_come_while_the_threads_are_busy_share_a_batch(start, work):
    _, queue = start(max_batch_size=8)
    queue.schedule(FakeTask(1))
    work.wait_for(1)
    for rows in (1, 2, 3):
        queue.schedule(FakeTask(rows))
    work.open.set()
    work.wait_for(2)
    assert work.batches == [[1], [1, 2, 3]]


def test_a_batch_waits_for_others(start, work):
    _, queue = start(max_batch_size=8, batch_timeout_micros=100_000)
    started = time.monotonic()
    queue.schedule(FakeTask(1))
    queue.schedule(FakeTask(2))
    work.wait_for(1)
    assert time.monotonic() - started >= 0.1
    assert work.batches == [[1, 2]]


def test_a_full_batch_does_not_wait(start, work):
    _, queue = start(max_batch_size=3, batch_timeout_micros=10**12)
    queue.schedule(FakeTask(1))
    queue.schedule(FakeTask(2))
    work.wait_for(1)
    assert work.batches == [[1, 2]]


def test_a_task_that_does_not_fit_closes_the_batch(start, work):
    _, queue = start(max_batch_size=8, batch_timeout_micros=10**12)
    queue.schedule(FakeTask(5))
    queue.schedule(FakeTask(4))
    work.wait_for(1)
    assert work.batches == [[5]]


def test_the_longest_timeout_does_no_harm(start, work):
    _, queue = start(max_batch_size=2, batch_timeout_micros=2**63 - 1)
    queue.schedule(FakeTask(1))
    queue.schedule(FakeTask(1))
    work.wait_for(1)


def test_a_task_without_rows_waits_for_one_with_rows(start, work):
    _, queue = start()
    queue.schedule(FakeTask(0))
    time.sleep(0.05)
    assert not work.batches
    queue.schedule(FakeTask(2))
    work.wait_for(1)
    assert work.batches == [[0, 2]]


def test_tasks_without_rows_are_limited(start):
    _, queue = start()
    for _ in range(MAX_TASKS_WITHOUT_ROWS):
        queue.schedule(FakeTask(0))
    assert refusal(queue, 0) == (Code.UNAVAILABLE, f"{FULL}currently 1000 tasks without rows are enqueued")


def test_a_large_task_is_refused(start):
    _, queue = start(max_batch_size=8)
    assert refusal(queue, 16) == (Code.INVALID_ARGUMENT, "Task size 16 is larger than maximum input batch size 8")


def test_a_full_queue_refuses(start, work):
    _, queue = start(max_batch_size=1, max_enqueued_batches=2)
    queue.schedule(FakeTask(1))
    work.wait_for(1)
    queue.schedule(FakeTask(1))
    queue.schedule(FakeTask(1))
    message = f"{FULL}currently 2 batches enqueued and max_enqueued_batches is 2"
    assert refusal(queue, 1) == (Code.UNAVAILABLE, message)
    work.open.set()
    work.wait_for(3)


def test_the_open_batch_of_a_full_queue_still_takes_tasks(start, work):
    _, queue = start(max_batch_size=4, max_enqueued_batches=1)
    queue.schedule(FakeTask(1))
    work.wait_for(1)
    queue.schedule(FakeTask(3))
    queue.schedule(FakeTask(1))
    assert refusal(queue, 1)[0] is Code.UNAVAILABLE


def test_no_enqueued_batch_means_one(start, work):
    _, queue = start(max_batch_size=4, max_enqueued_batches=0)
    queue.schedule(FakeTask(4))
    work.wait_for(1)


def test_a_large_task_is_split(start, work):
    _, queue = start(max_batch_size=16, max_execution_batch_size=4, enable_large_batch_splitting=True)
    work.open.set()
    queue.schedule(FakeTask(9))
    work.wait_for(3)
    assert work.batches == [[4], [4], [1]]


def test_the_first_part_fills_the_open_batch(start, work):
    _, queue = start(max_batch_size=16, max_execution_batch_size=4, enable_large_batch_splitting=True)
    queue.schedule(FakeTask(1))
    work.wait_for(1)
    queue.schedule(FakeTask(3))
    queue.schedule(FakeTask(6))
    queue.schedule(FakeTask(2))
    queue.schedule(FakeTask(1))
    work.open.set()
    work.wait_for(4)
    assert work.batches == [[1], [3, 1], [4], [1, 2, 1]]


def test_a_split_task_needs_room_for_all_its_parts(start, work):
    _, queue = start(
        max_batch_size=16, max_execution_batch_size=4, enable_large_batch_splitting=True, max_enqueued_batches=2
    )
    queue.schedule(FakeTask(4))
    work.wait_for(1)
    queue.schedule(FakeTask(3))
    message = (
        f"{FULL}task size is 6 but scheduling capacity is only 5 (num_enqueued_batches=1, max_enqueued_batches=2, "
        "open_batch_size=3, max_execution_batch_size=4)"
    )
    assert refusal(queue, 6) == (Code.UNAVAILABLE, message)
    assert refusal(queue, 17) == (Code.INVALID_ARGUMENT, "Task size 17 is larger than maximum input batch size 16")


def test_queues_take_turns(start, work):
    scheduler, first = start(max_batch_size=1)
    second, third = scheduler.add_queue(work.process), scheduler.add_queue(work.process)
    first.schedule(FakeTask(1, "plug"))
    work.wait_for(1)
    for queue, name in ((first, "a"), (second, "b"), (third, "c")):
        for _ in range(3):
            queue.schedule(FakeTask(1, name))
    work.open.set()
    work.wait_for(10)
    assert work.names == ["plug", *"abcabcabc"]


def test_a_queue_that_waits_does_not_hold_up_another(start, work):
    scheduler, first = start(max_batch_size=2, batch_timeout_micros=10**12)
    second = scheduler.add_queue(work.process)
    first.schedule(FakeTask(1))
    second.schedule(FakeTask(2))
    work.wait_for(1)
    assert work.batches == [[2]]


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_start_when_they_are_needed(start, work, threads):
    scheduler, _ = start(num_batch_threads=threads, thread_pool_name="pool")
    queues = [scheduler.add_queue(work.process) for _ in range(5)]
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("pool") for name in names)
    for queue in queues:
        queue.schedule(FakeTask(1))
    work.wait_for(threads)
    pool = [thread for thread in threading.enumerate() if thread.name.startswith("pool")]
    assert len(pool) == len(work.batches) == threads
    assert all(thread.daemon for thread in pool)
    work.open.set()
    work.wait_for(5)


def test_every_timeout_is_kept_by_one_of_many_threads(start, work):
    scheduler, _ = start(num_batch_threads=4, batch_timeout_micros=20_000)
    work.open.set()
    queues = [scheduler.add_queue(work.process) for _ in range(20)]
    started = time.monotonic()
    for turn in range(5):
        for queue in queues:
            queue.schedule(FakeTask(1))
        work.wait_for(20 * (turn + 1))
    assert 0.1 <= time.monotonic() - started < 10


def test_closing_a_queue_fails_what_waits_and_lets_the_rest_run(start, work):
    scheduler, queue = start(max_batch_size=1)
    other = scheduler.add_queue(work.process)
    queue.schedule(FakeTask(1))
    work.wait_for(1)
    waiting = [FakeTask(1), FakeTask(1)]
    for task in waiting:
        queue.schedule(task)
    other.schedule(FakeTask(1))
    closer = threading.Thread(target=queue.close)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()  # the running batch has not ended
    assert [failure(task) for task in waiting] == [Code.UNAVAILABLE] * 2
    work.open.set()
    closer.join(SOON)
    assert not closer.is_alive()
    work.wait_for(2)
    assert refusal(queue, 1)[0] is Code.UNAVAILABLE


def test_closing_the_scheduler_fails_what_waits_and_ends_the_threads(start, work):
    scheduler, queue = start(thread_pool_name="ends", batch_timeout_micros=10**12)
    task, empty = FakeTask(1), FakeTask(0)
    queue.schedule(task)
    queue.schedule(empty)
    scheduler.close()
    scheduler.close()
    assert failure(task) is failure(empty) is Code.UNAVAILABLE
    assert not any(thread.name.startswith("ends") for thread in threading.enumerate())
    assert refusal(queue, 1)[0] is Code.UNAVAILABLE
    with pytest.raises(StatusError):
        scheduler.add_queue(work.process)
