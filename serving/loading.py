"""From a version's folder to a servable that is warm."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runtimes.tensor import Tensor
from serving import config_protos
from serving.batching.parameters import BatchingParameters
from serving.batching.scheduler import SharedBatchScheduler
from serving.batching.session import BatchingRunnable
from serving.handlers.settings import Settings
from serving.metrics import ServerMetrics
from serving.saved_model import SavedModelServable
from serving.servable import Servable, Signature
from serving.text_config import read_text_proto
from serving.warmup import warm_up

__all__ = ["LoadOptions", "VersionLoader"]

_BATCHING_FILE = "batching_params.pbtxt"
_TFLITE_FILE = "model.tflite"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How versions are loaded.

    Attributes:
        tags: of the graph in a SavedModel.
        session_config: a serialized ``ConfigProto``.
        prefers_tflite: take ``model.tflite`` where a version has it.
        tflite_interpreters: how many runs of a .tflite file go on at the same time.
        batching: parameters for all models, None for no batching.
        has_own_batching: a version's own file says how it is batched; ``batching`` says nothing then.
        warms_up: replay the warm-up requests of a version.
        warm_up_iterations: how often each.
        check: called with the folder before anything is read; may refuse it with a ShowdownError.
    """

    tags: Sequence[str] = ("serve",)
    session_config: bytes = b""
    prefers_tflite: bool = False
    tflite_interpreters: int = 1
    batching: BatchingParameters | None = None
    has_own_batching: bool = False
    warms_up: bool = True
    warm_up_iterations: int = 1
    check: Callable[[Path], None] | None = None


class VersionLoader:
    """Loads versions; threads may use it at the same time."""

    def __init__(self, options: LoadOptions, settings: Settings, metrics: ServerMetrics) -> None:
        """Prepares the threads that batches share.

        Args:
            options: how versions are loaded.
            settings: how warm-up requests are answered.
            metrics: where to count.
        """
        self._options = options
        self._settings = settings
        self._metrics = metrics
        self._scheduler = None if options.batching is None else SharedBatchScheduler(options.batching)

    def __call__(self, name: str, version: int, path: Path) -> Servable:
        """Loads a version, puts it behind its batching queue and warms it up.

        Raises:
            ShowdownError: it cannot be loaded.
        """
        if self._options.check is not None:
            self._options.check(path)
        with ExitStack() as until_failure:
            servable = self._load(path)
            until_failure.callback(servable.close)
            queue = self._queue(servable, path)
            if queue is not None:
                until_failure.callback(queue.close)
                servable = _Batched(servable, queue)
            self._warm_up(servable, path, version)
            until_failure.pop_all()
        return servable

    def _load(self, path: Path) -> Servable:
        options = self._options
        if options.prefers_tflite and (path / _TFLITE_FILE).is_file():
            from serving.tflite import TfliteServable

            return TfliteServable(path / _TFLITE_FILE, interpreters=options.tflite_interpreters)
        return SavedModelServable(path, tags=options.tags, config=options.session_config)

    def _queue(self, servable: Servable, path: Path) -> BatchingRunnable | None:
        """The batching queue before a version, None where it has none."""
        scheduler = self._scheduler
        if self._options.has_own_batching:
            file = path / _BATCHING_FILE
            if not file.is_file():
                return None
            message = read_text_proto(str(file), config_protos.batching_parameters())
            scheduler = SharedBatchScheduler(BatchingParameters.from_proto(message))
        return None if scheduler is None else BatchingRunnable(servable, scheduler, _Observer(self._metrics))

    def _warm_up(self, servable: Servable, path: Path, version: int) -> None:
        if not self._options.warms_up:
            return
        start = time.perf_counter()
        labels = (str(path), "OK")
        records = warm_up(servable, path, version, self._settings, self._options.warm_up_iterations)
        if records:
            self._metrics.model_warmup_latency.record(labels, (time.perf_counter() - start) * 1e6)
            self._metrics.model_warmup_records_read.add(labels, records)


class _Batched:
    """A servable whose calls go through a queue; see `Servable`."""

    def __init__(self, servable: Servable, queue: BatchingRunnable) -> None:
        self._servable = servable
        self._queue = queue
        self.signatures: Mapping[str, Signature] = servable.signatures

    def run(
        self, feeds: Sequence[str], inputs: Sequence[Tensor], fetches: Sequence[str], timeout: float | None
    ) -> list[Tensor]:
        return self._queue.run(feeds, inputs, fetches, timeout)

    def is_quick(self, feeds: Sequence[str], fetches: Sequence[str]) -> bool:
        return False  # it waits for others

    def close(self) -> None:
        self._queue.close()
        self._servable.close()


class _Observer:
    """Counts batches."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics

    def queued(self, seconds: float, thread_pool_name: str) -> None:
        self._metrics.queuing_latency.record((thread_pool_name,), seconds * 1e6)

    def ran(self, input_rows: int, processed_rows: int, padding_rows: int) -> None:
        self._metrics.wrapped_run_count.add()
        self._metrics.input_batch_size.record((), input_rows)
        self._metrics.processed_batch_size.record((), processed_rows)
        self._metrics.padding_size.record((str(processed_rows),), padding_rows)
