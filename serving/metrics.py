"""Counters and histograms of the server, and the page on which Prometheus reads them.

The page: tensorflow_serving/util/prometheus_exporter.cc. Counters, samplers (here: histograms) and gauges:
xla/tsl/lib/monitoring.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import TypeVar

__all__ = ["LATENCY_BOUNDS", "Counter", "Gauge", "Histogram", "Metric", "Registry", "ServerMetrics", "exponential"]

Labels = tuple[str, ...]
"""Values of a metric's labels, in the order of their names."""


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """The bounds ``scale``, ``scale * growth``, ... (``Buckets::Exponential`` of xla/tsl/lib/monitoring/sampler.cc)."""
    return tuple(scale * growth**power for power in range(count))


LATENCY_BOUNDS = exponential(10, 1.8, 33)
"""Microseconds, up to some 20 minutes: of nearly all latencies."""


class Metric:
    """What counters, gauges and histograms have in common: a name, and one cell per combination of labels.

    Attributes:
        name: TF's name, such as ``/tensorflow/serving/request_count``.
        kind: Prometheus' word for it.
        lazy: TF registers it when it is first used; until then the page does not name it.
    """

    kind: str

    def __init__(self, name: str, label_names: Sequence[str] = (), *, lazy: bool = False) -> None:
        self.name = name
        self.lazy = lazy
        self._label_names = tuple(label_names)
        self._lock = Lock()

    def first_value(self) -> int:
        """What TF takes for the value of the whole metric: that of its first cell, in the order of the labels."""
        return 0

    def lines(self) -> list[str]:
        """The lines of the page, without the end of line."""
        shown = re.sub(r"[^a-zA-Z0-9_]", ":", self.name)
        cells = self._cell_lines(shown)
        return [] if self.lazy and not cells else [f"# TYPE {shown} {self.kind}", *cells]

    def _cell_lines(self, shown: str) -> list[str]:
        raise NotImplementedError

    def _pairs(self, labels: Labels, *more: str) -> str:
        pairs = [f'{name}="{_escape(value)}"' for name, value in zip(self._label_names, labels, strict=True)]
        return "{" + ",".join([*pairs, *more]) + "}"


class _Scalar(Metric):
    def __init__(self, name: str, label_names: Sequence[str] = (), *, lazy: bool = False) -> None:
        super().__init__(name, label_names, lazy=lazy)
        self._cells: defaultdict[Labels, int] = defaultdict(int)

    def first_value(self) -> int:
        with self._lock:
            return self._cells[min(self._cells)] if self._cells else 0

    def _cell_lines(self, shown: str) -> list[str]:
        with self._lock:
            cells = sorted(self._cells.items())
        return [f"{shown}{self._pairs(labels)} {value}" for labels, value in cells]


class Counter(_Scalar):
    """A number that only grows."""

    kind = "counter"

    def add(self, labels: Labels = (), n: int = 1) -> None:
        """Adds to one cell."""
        with self._lock:
            self._cells[labels] += n


class Gauge(_Scalar):
    """A number that comes and goes."""

    kind = "gauge"

    def set(self, labels: Labels, value: int) -> None:
        """Sets one cell."""
        with self._lock:
            self._cells[labels] = value


class Histogram(Metric):
    """How often values fell between two bounds, and their sum."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        label_names: Sequence[str] = (),
        bounds: Sequence[float] = LATENCY_BOUNDS,
        *,
        lazy: bool = False,
    ) -> None:
        super().__init__(name, label_names, lazy=lazy)
        self._bounds = tuple(bounds)
        # absl::StrCat writes six digits; the last bucket has no bound.
        self._limits = [*(f'le="{bound:g}"' for bound in self._bounds), 'le="+Inf"']
        self._cells: dict[Labels, list[float]] = {}  # counts, one more than bounds, then the sum

    def record(self, labels: Labels, value: float) -> None:
        """Counts a value. One that equals a bound falls above it, as in xla/tsl/lib/histogram/histogram.cc."""
        bucket = bisect_right(self._bounds, value)
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._cells[labels] = [0] * (len(self._bounds) + 2)
            cell[bucket] += 1
            cell[-1] += value

    def _cell_lines(self, shown: str) -> list[str]:
        with self._lock:
            cells = sorted((labels, list(cell)) for labels, cell in self._cells.items())
        lines = []
        for labels, (*counts, total) in cells:
            seen = 0
            for limit, count in zip(self._limits, counts, strict=True):
                seen += int(count)
                lines.append(f"{shown}_bucket{self._pairs(labels, limit)} {seen}")
            lines.append(f"{shown}_sum{self._pairs(labels)} {total:g}")
            lines.append(f"{shown}_count{self._pairs(labels)} {seen}")
        return lines


_MetricT = TypeVar("_MetricT", bound=Metric)


class Registry:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def register(self, metric: _MetricT) -> _MetricT:
        """Puts a metric on the page.

        Raises:
            ValueError: the name is taken.
        """
        if metric.name in self._metrics:
            raise ValueError(f"two metrics are called {metric.name}")
        self._metrics[metric.name] = metric
        return metric

    def expose(self) -> str:
        """The page, ordered by TF's names."""
        lines = [line for _, metric in sorted(self._metrics.items()) for line in metric.lines()]
        return "\n".join(lines) + "\n"

    def snapshot(self, names: Iterable[str]) -> dict[str, int]:
        """Values of metrics by TF's names, each once, in order; 0 for a name that nobody has, and for histograms.

        ``GetMetrics`` of tensorflow_serving/model_servers/model_service_impl.cc, which takes the first cell only.
        HandleReloadConfigRequest takes a snapshot before the reload and answers ``increase_since`` after it.
        """
        found = {name: self._metrics.get(name) for name in sorted(set(names))}
        return {name: metric.first_value() if metric else 0 for name, metric in found.items()}

    def increase_since(self, before: Mapping[str, int]) -> dict[str, int]:
        """By how much each value of a snapshot has grown (``RecordMetricsIncrease`` of the same file)."""
        return {name: value - before[name] for name, value in self.snapshot(before).items()}


class ServerMetrics(Registry):
    """The metrics of the model server and of TensorFlow's loader.

    Names, labels and bounds: tensorflow_serving/servables/tensorflow/util.cc and saved_model_warmup_util.cc,
    tensorflow_serving/core/request_logger.cc, tensorflow_serving/batching/batching_session.cc,
    tensorflow/cc/saved_model/loader.cc. Latencies are in microseconds.
    """

    def __init__(self) -> None:
        super().__init__()
        serving = "/tensorflow/serving/"
        self.request_count = self.register(Counter(serving + "request_count", ("model_name", "status")))
        self.request_latency = self.register(
            Histogram(serving + "request_latency", ("model_name", "API", "entrypoint"))
        )
        self.runtime_latency = self.register(Histogram(serving + "runtime_latency", ("model_name", "API", "runtime")))
        self.request_example_counts = self.register(
            Histogram(serving + "request_example_counts", ("model",), exponential(1, 2, 15))
        )
        self.request_example_count_total = self.register(Counter(serving + "request_example_count_total", ("model",)))
        self.request_log_count = self.register(Counter(serving + "request_log_count", ("model_name", "status_code")))
        self.mlmd_map = self.register(Gauge(serving + "mlmd_map", ("model_name", "version")))
        self.model_warmup_latency = self.register(Histogram(serving + "model_warmup_latency", ("model_path", "status")))
        self.model_warmup_records_read = self.register(
            Counter(serving + "model_warmup_records_read", ("model_path", "status"))
        )
        batching = serving + "batching_session/"
        self.queuing_latency = self.register(
            Histogram(batching + "queuing_latency", ("thread_pool_name",), exponential(100, 1.2, 52))
        )
        self.wrapped_run_count = self.register(Counter(batching + "wrapped_run_count"))
        sizes = exponential(1, 2, 14)
        self.input_batch_size = self.register(Histogram(batching + "input_batch_size", (), sizes, lazy=True))
        self.processed_batch_size = self.register(Histogram(batching + "processed_batch_size", (), sizes, lazy=True))
        self.padding_size = self.register(
            Histogram(batching + "padding_size", ("execution_batch_size",), sizes, lazy=True)
        )
        loader = "/tensorflow/cc/saved_model/"
        self.load_attempt_count = self.register(Counter(loader + "load_attempt_count", ("model_path", "status")))
        self.load_latency = self.register(Counter(loader + "load_latency", ("model_path",)))
        self.load_latency_by_stage = self.register(Histogram(loader + "load_latency_by_stage", ("model_path", "stage")))


def _escape(value: str) -> str:
    # The original leaves a line break as it is, so that a model name in a request could forge lines of the page.
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
