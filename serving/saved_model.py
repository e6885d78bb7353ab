"""A SavedModel as a servable."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.errors import Code, StatusError
from runtimes.tensor import DataType, Tensor
from runtimes.tensorflow_c_graph import Graph
from serving import protos
from serving.servable import Signature

__all__ = ["SavedModelServable"]

_MEMORY = 0.8
"""How much of what a graph's runs took before counts beside a slower one: it may have been interrupted."""

_QUICK_SECONDS = 1e-3
"""A graph whose runs take less is run in the caller's thread: 60 microseconds less than in a pool."""

_VERY_QUICK_SECONDS = 2e-4
"""A graph whose runs take less keeps the GIL: with 16 callers by gRPC a call takes a third less CPU."""

_SMALL_BYTES = 64 * 1024
"""Up to here the time of the last run tells how long the next one takes."""

_UNPREDICTABLE = {
    "Enter", "RefEnter", "NextIteration", "RefNextIteration", "Switch", "RefSwitch", "While", "StatelessWhile", "If",
    "StatelessIf", "Case", "StatelessCase", "PyFunc", "EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile",
    "XlaLaunch", "Batch", "BatchFunction", "Unbatch", "Rpc", "TryRpc",
}  # fmt: skip
"""Operations whose time depends on the values that come in, on other runs, or on the world outside."""

_UNPREDICTABLE_KINDS = ("Dataset", "Iterator", "Queue", "Barrier", "Stage", "Recv")
"""Parts of the names of whole families of such."""


class SavedModelServable:
    """A loaded SavedModel; see `Servable`.

    Attributes:
        signatures: by name, ``__saved_model_init_op`` included.
        is_predictable: the time of a run depends on the size of its inputs alone.
    """

    def __init__(self, path: Path, *, tags: Sequence[str], config: bytes) -> None:
        """Loads and initializes it.

        Raises:
            StatusError: TensorFlow's own code and message.
        """
        if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")):
            raise StatusError(
                Code.NOT_FOUND,
                "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
                f"`saved_model.pb`)\nSpecified file path: {path}",
            )
        self._graph = Graph(path, tags=tags, config=config)
        meta_graph = protos.meta_graph.MetaGraphDef.FromString(self._graph.meta_graph)
        self._graph.meta_graph = b""
        # Copied one by one: a part of a message keeps the whole alive, with all constants of the graph.
        self.signatures: Mapping[str, Signature] = {
            name: Signature(protos.meta_graph.SignatureDef.FromString(definition.SerializeToString()))
            for name, definition in meta_graph.signature_def.items()
        }
        self.is_predictable = _is_predictable(meta_graph.graph_def)
        self._seconds: dict[tuple[tuple[str, ...], tuple[str, ...]], float] = {}

    def run(
        self, feeds: Sequence[str], inputs: Sequence[Tensor], fetches: Sequence[str], timeout: float | None
    ) -> list[Tensor]:
        """Runs the graph once: see `Runnable.run`."""
        key = tuple(feeds), tuple(fetches)
        seconds = self._seconds.get(key, 1.0) if self.is_predictable else 1.0
        start = time.perf_counter()
        try:
            return self._graph.run(
                feeds,
                inputs,
                fetches,
                timeout,
                is_inline=timeout is None or seconds < _QUICK_SECONDS,
                keeps_gil=seconds < _VERY_QUICK_SECONDS
                and all(tensor.dtype != DataType.STRING and tensor.array.nbytes <= _SMALL_BYTES for tensor in inputs),
            )
        finally:
            taken = time.perf_counter() - start
            known = self._seconds.get(key, taken)
            # The first runs prepare what the later ones find, so a quicker one is believed at once.
            self._seconds[key] = taken + _MEMORY * min(0.0, known - taken)

    def is_quick(self, feeds: Sequence[str], fetches: Sequence[str]) -> bool:
        """Whether a run can be expected to take no longer than handing it to another thread is worth."""
        return self.is_predictable and self._seconds.get((tuple(feeds), tuple(fetches)), 1.0) < _QUICK_SECONDS

    def close(self) -> None:
        """Gives the memory back."""
        self._graph.close()


def _is_predictable(graph: Any) -> bool:
    """Whether a ``GraphDef`` has nothing of `_UNPREDICTABLE` and `_UNPREDICTABLE_KINDS`."""
    bodies = (graph.node, *(function.node_def for function in graph.library.function))
    operations = {node.op for body in bodies for node in body}
    return not operations & _UNPREDICTABLE and not any(
        kind in operation for operation in operations for kind in _UNPREDICTABLE_KINDS
    )
