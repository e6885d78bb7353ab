"""A runnable before another one that runs several requests at once."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from contract.errors import Code, StatusError
from runtimes.tensor import Tensor
from serving.batching.merge import count_rows, join_outputs, merge_requests, split_outputs, split_rows
from serving.batching.scheduler import BatchQueue, SharedBatchScheduler
from serving.servable import Runnable

__all__ = ["BatchObserver", "BatchingRunnable"]

logger = logging.getLogger(__name__)

TIMED_OUT = "Run() timeout exceeded while waiting in batching queue"


class BatchObserver(Protocol):
    """What the metrics want to know; called in the threads of the scheduler, at the same time."""

    def queued(self, seconds: float, thread_pool_name: str) -> None:
        """A request, or a part of one, has waited so long for its batch."""
        ...

    def ran(self, input_rows: int, processed_rows: int, padding_rows: int) -> None:
        """A batch goes into the wrapped runnable: rows of requests, rows in all, rows of padding."""
        ...


class _NoObserver:
    def queued(self, seconds: float, thread_pool_name: str) -> None: ...

    def ran(self, input_rows: int, processed_rows: int, padding_rows: int) -> None: ...


class _Signature(NamedTuple):
    """What one queue feeds and fetches; the names are sorted."""

    feeds: tuple[str, ...]
    fetches: tuple[str, ...]


class _Answer:
    """Where the caller waits for the parts of its request."""

    def __init__(self) -> None:
        # A lock that the last part releases: half the price of an Event, of which only the caller waits.
        self._done = threading.Lock()
        self._done.acquire()
        self._lock = threading.Lock()
        self._error: StatusError | None = None
        self.started = False
        self.expect(1)

    def expect(self, parts: int) -> None:
        self._missing = parts
        self._parts: list[list[Tensor]] = [[]] * parts

    def put(self, part: int, outputs: list[Tensor] | StatusError) -> None:
        with self._lock:
            if isinstance(outputs, StatusError):
                self._error = self._error or outputs
            else:
                self._parts[part] = outputs
            self._missing -= 1
            if not self._missing:
                self._done.release()

    def get(self, timeout: float | None) -> list[Tensor]:
        """Waits.

        Raises:
            StatusError: DEADLINE_EXCEEDED, or the error of the first part that has failed.
        """
        # A negative timeout would wait for ever.
        if not self._done.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)):
            message = "Run() timeout exceeded while the batch was running" if self.started else TIMED_OUT
            raise StatusError(Code.DEADLINE_EXCEEDED, message)
        if self._error is not None:
            # Each caller raises an error of its own, because raising one writes its traceback into it.
            raise StatusError(self._error.code, self._error.message) from self._error
        if len(self._parts) == 1:
            return self._parts[0]
        return join_outputs(self._parts)


class _Task:
    """A request, or a part of one, in a queue."""

    def __init__(self, inputs: Sequence[Tensor], rows: int, deadline: float | None, answer: _Answer, part: int) -> None:
        self.inputs = inputs
        self.rows = rows
        self.deadline = deadline
        self.queued = time.monotonic()
        self.answer = answer
        self.part = part

    def split(self, sizes: Sequence[int]) -> list["_Task"]:
        self.answer.expect(len(sizes))
        return [
            _Task(inputs, rows, self.deadline, self.answer, part)
            for part, (inputs, rows) in enumerate(zip(split_rows(self.inputs, sizes), sizes, strict=True))
        ]

    def fail(self, error: StatusError) -> None:
        self.answer.put(self.part, error)


class BatchingRunnable:
    """Runs the requests of its callers in batches: one queue for each set of feeds and set of fetches."""

    def __init__(
        self, wrapped: Runnable, scheduler: SharedBatchScheduler, observer: BatchObserver | None = None
    ) -> None:
        """Puts a runnable behind queues.

        Args:
            wrapped: runs the batches; it is not closed with this one.
            scheduler: the threads, and the parameters; other runnables may use it too.
            observer: hears of each batch.

        Raises:
            StatusError: INVALID_ARGUMENT, no batch can be made with the parameters.
        """
        scheduler.parameters.check()
        self._wrapped = wrapped
        self._scheduler = scheduler
        self._observer = observer or _NoObserver()
        self._queues: dict[tuple[frozenset[str], frozenset[str]], tuple[_Signature, BatchQueue[_Task]]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self, feeds: Sequence[str], inputs: Sequence[Tensor], fetches: Sequence[str], timeout: float | None
    ) -> list[Tensor]:
        """Runs a request together with those of other callers; see `Runnable.run`.

        A request without rows is run only if others with rows come into its batch.

        Raises:
            StatusError: what the run of the batch answers; INVALID_ARGUMENT for tensors that cannot be batched;
                UNAVAILABLE where the queue is full or gets closed; FAILED_PRECONDITION where the requests of the batch
                do not fit together or an output has not the rows of the inputs; DEADLINE_EXCEEDED.
        """
        started = time.monotonic()
        signature, queue = self._queue(feeds, fetches)
        rows = count_rows(inputs)
        if tuple(feeds) != signature.feeds:
            fed = dict(zip(feeds, inputs, strict=True))
            inputs = [fed[name] for name in signature.feeds]
        answer = _Answer()
        queue.schedule(_Task(inputs, rows, None if timeout is None else started + timeout, answer, 0))
        outputs = answer.get(timeout)
        if tuple(fetches) == signature.fetches:
            return outputs
        fetched = dict(zip(signature.fetches, outputs, strict=True))
        return [fetched[name] for name in fetches]

    def close(self) -> None:
        """Fails the requests that wait with UNAVAILABLE; returns when no batch runs any more."""
        with self._lock:
            self._closed = True
            queues = [queue for _, queue in self._queues.values()]
        for queue in queues:
            queue.close()

    def _queue(self, feeds: Sequence[str], fetches: Sequence[str]) -> tuple[_Signature, BatchQueue[_Task]]:
        key = frozenset(feeds), frozenset(fetches)
        if len(key[0]) != len(feeds):
            twice = next(name for name in feeds if list(feeds).count(name) > 1)
            raise StatusError(Code.INVALID_ARGUMENT, f'Endpoint "{twice}" fed more than once.')
        if (known := self._queues.get(key)) is not None:
            return known
        with self._lock:
            if self._closed:
                raise StatusError(Code.UNAVAILABLE, "The batching session is closed")
            if key not in self._queues:
                signature = _Signature(tuple(sorted(key[0])), tuple(sorted(key[1])))
                queue: BatchQueue[_Task] = self._scheduler.add_queue(lambda tasks: self._process(signature, tasks))
                self._queues[key] = signature, queue
            return self._queues[key]

    def _process(self, signature: _Signature, tasks: list[_Task]) -> None:
        """Runs a batch and answers every task of it, whatever happens."""
        try:
            answers = self._run_batch(signature, tasks)
        except StatusError as err:
            for task in tasks:
                task.fail(err)
        except Exception as err:  # the thread serves other models too, and the callers wait for an answer
            logger.exception("a batch of %s failed", signature)
            failure = StatusError(Code.INTERNAL, f"{type(err).__name__}: {err}")
            for task in tasks:
                task.fail(failure)
        else:
            for task, outputs in zip(tasks, answers, strict=True):
                task.answer.put(task.part, outputs)

    def _run_batch(self, signature: _Signature, tasks: list[_Task]) -> list[list[Tensor]]:
        parameters = self._scheduler.parameters
        now = time.monotonic()
        latest: float | None = 0.0
        for task in tasks:
            self._observer.queued(now - task.queued, parameters.thread_pool_name)
            latest = None if latest is None or task.deadline is None else max(latest, task.deadline)
        if latest is not None and latest <= now:
            raise StatusError(Code.DEADLINE_EXCEEDED, TIMED_OUT)
        for task in tasks:
            task.answer.started = True
        sizes = [task.rows for task in tasks]
        rows = sum(sizes)
        processed = parameters.padded_size(rows)
        merged = merge_requests(
            signature.feeds,
            [task.inputs for task in tasks],
            processed - rows,
            pad=parameters.pad_variable_length_inputs,
        )
        self._observer.ran(rows, processed, processed - rows)
        timeout = None if latest is None else latest - now
        outputs = self._wrapped.run(signature.feeds, merged, signature.fetches, timeout)
        if len(outputs) != len(signature.fetches):
            raise StatusError(Code.INTERNAL, "Wrong number of batched output tensors")
        return split_outputs(outputs, sizes, processed - rows)
