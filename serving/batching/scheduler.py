"""Threads that are shared by the queues of all models, and the queues that gather tasks into batches.

A queue is a row of batches: the last one is open and takes tasks, the ones before it had no room for a task that came.
A batch is ready when it is closed or full, or when its first task has waited ``batch_timeout_micros``. The queues that
have a ready batch take turns.

A batch whose tasks have no rows at all is never ready. Tasks never leave a batch before it runs, not even when their
caller has given up: TensorFlow Serving counts their rows and compares their shapes with those of the others.
"""

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

from contract.errors import Code, StatusError
from serving.batching.parameters import BatchingParameters

__all__ = ["BatchQueue", "BatchTask", "SharedBatchScheduler"]

MAX_TASKS_WITHOUT_ROWS = 1000
"""Tasks in a batch without a row. Nothing else limits them: they fill no batch, and nothing runs it."""

FULL = "The batch scheduling queue to which this task was submitted is full; "


class BatchTask(Protocol):
    """What can be queued."""

    @property
    def rows(self) -> int:
        """How much of a batch the task fills."""
        ...

    def split(self, sizes: Sequence[int]) -> Sequence[Self]:
        """Makes tasks of so many rows each; together they are the rows of this one."""
        ...

    def fail(self, error: StatusError) -> None:
        """Tells the caller that the task will not run."""
        ...


TaskT = TypeVar("TaskT", bound=BatchTask)


class _Batch(Generic[TaskT]):
    __slots__ = ("due", "rows", "tasks")

    def __init__(self) -> None:
        self.tasks: list[TaskT] = []
        self.rows = 0
        self.due = math.inf  # when the first task has waited long enough

    def add(self, task: TaskT, timeout: float) -> None:
        if not self.tasks:
            self.due = time.monotonic() + timeout
        self.tasks.append(task)
        self.rows += task.rows


class SharedBatchScheduler:
    """Up to ``num_batch_threads`` daemon threads that run the batches of any number of queues.

    Attributes:
        parameters: what all its queues go by.
    """

    def __init__(self, parameters: BatchingParameters) -> None:
        self.parameters = parameters
        # One lock for all queues: it is held for microseconds, and a thread that looks for work needs all of them.
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._finished = threading.Condition(self._lock)
        self._queues: set[BatchQueue[Any]] = set()
        self._waiting: deque[BatchQueue[Any]] = deque()  # the queues that have rows, in the order of their turns
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._alarm = math.inf  # when an idle thread will look at the queues by itself
        self._closed = False

    def add_queue(self, process: Callable[[list[TaskT]], None]) -> "BatchQueue[TaskT]":
        """Makes a queue.

        Args:
            process: runs the tasks of a batch in a thread of the scheduler, and answers each; it raises nothing.

        Raises:
            StatusError: UNAVAILABLE, the scheduler is closed.
        """
        queue = BatchQueue(self, process)
        with self._lock:
            if self._closed:
                raise _closed()
            self._queues.add(queue)
        return queue

    def close(self) -> None:
        """Fails the tasks that wait with UNAVAILABLE, lets the running batches end, and stops the threads."""
        with self._lock:
            self._closed = True
            queues = list(self._queues)
            self._work.notify_all()
        for queue in queues:
            queue.close()
        for thread in self._threads:
            thread.join()

    def _wake(self) -> None:
        """Gets a thread to look at the queues, a new one where none is idle; under the lock."""
        if self._idle:
            self._work.notify()
        elif len(self._threads) < self.parameters.num_batch_threads and not self._closed:
            name = f"{self.parameters.thread_pool_name}_{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self) -> None:
        """The life of a thread: take a batch, run it."""
        queue: BatchQueue[Any] | None = None
        while True:
            with self._lock:
                if queue is not None:
                    queue.running -= 1
                    if queue.closed:
                        self._finished.notify_all()
                queue, tasks = self._next()
            if queue is None:
                return
            queue.process(tasks)
            del tasks  # an idle thread holds no tensors

    def _next(self) -> tuple["BatchQueue[Any] | None", list[Any]]:
        """Waits for a batch that is ready; under the lock. Answers None when the scheduler closes."""
        while not self._closed:
            now = time.monotonic()
            due = math.inf
            for _ in range(len(self._waiting)):
                queue = self._waiting[0]
                if (batch := queue.take(now)) is None:
                    due = min(due, queue.batches[0].due)
                    self._waiting.rotate(-1)
                    continue
                self._waiting.popleft()
                if queue.has_rows:
                    self._waiting.append(queue)
                if self._waiting:
                    self._wake()  # of what remains, something may be ready, and somebody must know when the rest is
                queue.running += 1
                return queue, batch.tasks
            self._idle += 1
            if due < self._alarm:
                self._alarm = due
                self._work.wait(min(max(due - now, 0.0), threading.TIMEOUT_MAX))
                self._alarm = math.inf
            else:
                self._work.wait()
            self._idle -= 1
        return None, []


class BatchQueue(Generic[TaskT]):
    """Tasks of one kind, which may share a batch. All but `schedule` and `close` is the scheduler's."""

    def __init__(self, scheduler: SharedBatchScheduler, process: Callable[[list[TaskT]], None]) -> None:
        self.process = process
        self.batches: deque[_Batch[TaskT]] = deque([_Batch()])
        self.running = 0
        self.closed = False
        self._scheduler = scheduler
        parameters = scheduler.parameters
        self._limit = parameters.largest_run
        self._max_batches = max(1, parameters.max_enqueued_batches)
        self._timeout = parameters.batch_timeout_micros / 1e6

    @property
    def has_rows(self) -> bool:
        """Whether a batch is ready, or will be."""
        return self.batches[0].rows > 0

    def schedule(self, task: TaskT) -> None:
        """Puts a task into the open batch, or into a new one where it does not fit.

        Raises:
            StatusError: INVALID_ARGUMENT, the task is too large; UNAVAILABLE, the queue is full or closed.
        """
        scheduler = self._scheduler
        with scheduler._lock:
            if self.closed:
                raise _closed()
            self._check_room(task.rows)
            had_rows = self.has_rows
            for part in self._parts(task):
                if self.batches[-1].rows + part.rows > self._limit:
                    self.batches.append(_Batch())
                self.batches[-1].add(part, self._timeout)
            if not self.has_rows:
                return
            if not had_rows:
                scheduler._waiting.append(self)
            # A thread that waits for the open batch to be due need not know of a task that joins it.
            if not had_rows or len(self.batches) > 1 or self.batches[0].rows >= self._limit:
                scheduler._wake()

    def close(self) -> None:
        """Fails the tasks that wait with UNAVAILABLE, and returns when no batch of this queue runs any more."""
        scheduler = self._scheduler
        with scheduler._lock:
            self.closed = True
            scheduler._queues.discard(self)
            if self in scheduler._waiting:
                scheduler._waiting.remove(self)
            tasks = [task for batch in self.batches for task in batch.tasks]
            self.batches = deque([_Batch()])
        for task in tasks:
            task.fail(_closed())
        with scheduler._lock:
            while self.running:
                scheduler._finished.wait()

    def take(self, now: float) -> _Batch[TaskT] | None:
        """Hands over the first batch if it is ready; under the lock."""
        first = self.batches[0]
        if len(self.batches) == 1 and (not first.rows or (first.rows < self._limit and first.due > now)):
            return None
        if len(self.batches) == 1:
            self.batches.append(_Batch())
        return self.batches.popleft()

    def _check_room(self, rows: int) -> None:
        parameters = self._scheduler.parameters
        if rows > parameters.max_batch_size:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Task size {rows} is larger than maximum input batch size {parameters.max_batch_size}",
            )
        count = len(self.batches)
        last = self.batches[-1]
        if not rows and not last.rows and len(last.tasks) >= MAX_TASKS_WITHOUT_ROWS:
            raise StatusError(Code.UNAVAILABLE, f"{FULL}currently {len(last.tasks)} tasks without rows are enqueued")
        if parameters.enable_large_batch_splitting:
            capacity = (self._max_batches - count) * self._limit + self._limit - last.rows
            if rows > capacity:
                raise StatusError(
                    Code.UNAVAILABLE,
                    f"{FULL}task size is {rows} but scheduling capacity is only {capacity} "
                    f"(num_enqueued_batches={count}, max_enqueued_batches={self._max_batches}, "
                    f"open_batch_size={last.rows}, max_execution_batch_size={self._limit})",
                )
        elif last.rows + rows > self._limit and count >= self._max_batches:
            raise StatusError(
                Code.UNAVAILABLE,
                f"{FULL}currently {count} batches enqueued and max_enqueued_batches is {self._max_batches}",
            )

    def _parts(self, task: TaskT) -> Sequence[TaskT]:
        room = self._limit - self.batches[-1].rows
        if task.rows <= room or not self._scheduler.parameters.enable_large_batch_splitting:
            return (task,)
        starts = [0, *range(room, task.rows, self._limit)] if room else [*range(0, task.rows, self._limit)]
        return task.split([end - start for start, end in itertools.pairwise([*starts, task.rows])])


def _closed() -> StatusError:
    return StatusError(Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is closed")
