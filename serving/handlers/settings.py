"""What all handlers share."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from runtimes.tensor import Tensor
from serving.metrics import ServerMetrics
from serving.servable import Runnable

__all__ = ["Settings"]

_RUNTIME = "TF1"
"""What the original calls a session, whatever has written the SavedModel."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How calls are answered, and where they are counted.

    Attributes:
        check_method_name: a signature has to have the method name of the call.
        as_tensor_content: Predict writes its outputs as ``tensor_content`` instead of typed fields.
        metrics: where runs are counted.
    """

    check_method_name: bool = False
    as_tensor_content: bool = False
    metrics: ServerMetrics = field(default_factory=ServerMetrics)

    def run(
        self,
        api: str,
        model: str,
        runnable: Runnable,
        feeds: Sequence[str],
        inputs: Sequence[Tensor],
        fetches: Sequence[str],
        timeout: float | None,
    ) -> list[Tensor]:
        """Runs a graph, and notes how long it took.

        Args:
            api: the call, for the metrics.
            model: its name, for the metrics.
            runnable: the loaded version.
            feeds: see `Runnable.run`, as for the rest.
            inputs: values of ``feeds``.
            fetches: what to compute.
            timeout: seconds, None for ever.

        Raises:
            StatusError: what the runtime answers.
        """
        start = time.perf_counter()
        results = runnable.run(feeds, inputs, fetches, timeout)
        self.metrics.runtime_latency.record((model, api, _RUNTIME), (time.perf_counter() - start) * 1e6)
        return results
