"""A .tflite file in a version's folder as a servable (``--prefer_tflite_model``).

Source: tflite_session.cc and tflite_interpreter_pool.cc of TensorFlow Serving.
"""

import queue
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.errors import Code, ShowdownError, StatusError
from contract.tensor_spec import TensorSpec
from runtimes.litert_interpreter import load, signature_names
from runtimes.session import ANY_RANK, Session
from runtimes.tensor import NUMPY_TYPES, DataType, Tensor
from serving import protos
from serving.servable import DEFAULT_SIGNATURE, Signature

__all__ = ["TfliteServable"]

_CODES = {
    dtype.name: int(code)
    for code, dtype in NUMPY_TYPES.items()
    if code != DataType.BFLOAT16 and not DataType(code).name.startswith("Q")
}
"""The type of each array; the types that travel as the words of another one are none of a .tflite file's."""

_METHOD = "tensorflow/serving/predict"
_QUICK_BYTES = 64 * 1024
"""Size of a file whose run takes less than to hand it to another thread."""


class TfliteServable:
    """A loaded .tflite file with a pool of interpreters; see `Servable`.

    Inputs are resized to the shape that comes. A file without signatures has one, keyed by its tensors' names.

    Attributes:
        signatures: by name.
    """

    def __init__(self, path: Path, *, interpreters: int) -> None:
        """Loads the file.

        Args:
            path: the file.
            interpreters: how many runs of a signature may go on at the same time; each has the memory of a model.

        Raises:
            ShowdownError: it is damaged, or has operations that the runtime does not know.
        """
        self._is_small = path.stat().st_size <= _QUICK_BYTES
        self._path = path
        self._pools: dict[str, queue.LifoQueue[Session]] = {}
        self._places: dict[str, tuple[str, str]] = {}
        signatures = {}
        for name in signature_names(path) or [DEFAULT_SIGNATURE]:
            pool = self._pools[name] = queue.LifoQueue()
            for _ in range(interpreters):
                session = load(path, signature=name)
                pool.put(session)
            signatures[name] = _signature(name, session)
            for spec in (*session.inputs, *session.outputs):
                self._places[f"{name}/{spec.name}"] = name, spec.name
        self.signatures: Mapping[str, Signature] = signatures

    def run(
        self, feeds: Sequence[str], inputs: Sequence[Tensor], fetches: Sequence[str], timeout: float | None
    ) -> list[Tensor]:
        """Runs the file once: see `Runnable.run`."""
        signature, _ = self._places[(*feeds, *fetches)[0]]
        pool = self._pools[signature]
        try:
            session = pool.get(timeout=timeout)
        except queue.Empty:
            raise StatusError(Code.DEADLINE_EXCEEDED, f"{self._path}: all interpreters are busy") from None
        try:
            results = session.run(
                {self._places[name][1]: tensor.array for name, tensor in zip(feeds, inputs, strict=True)}
            )
        except ShowdownError as err:
            raise StatusError(Code.INVALID_ARGUMENT, str(err)) from err
        finally:
            pool.put(session)
        arrays = [results[self._places[name][1]] for name in fetches]
        return [Tensor(_CODES[array.dtype.name], array) for array in arrays]

    def is_quick(self, feeds: Sequence[str], fetches: Sequence[str]) -> bool:
        """Whether a run can be expected to take no longer than handing it to another thread is worth."""
        return self._is_small and not any(pool.empty() for pool in self._pools.values())

    def close(self) -> None:
        """Drops the interpreters."""
        for pool in self._pools.values():
            while not pool.empty():
                pool.get().close()


def _signature(name: str, session: Session) -> Signature:
    """Describes a session; its tensors are called ``<signature>/<alias>``: a run is told tensors' names alone."""
    definition = protos.meta_graph.SignatureDef(method_name=_METHOD)
    for specs, infos in ((session.inputs, definition.inputs), (session.outputs, definition.outputs)):
        for spec in specs:
            # Only a tensor's own name has a number at its end; the original leaves 0 out of the alias.
            _describe(infos[spec.name.removesuffix(":0")], f"{name}/{spec.name}", spec)
    return Signature(definition)


def _describe(info: Any, name: str, spec: TensorSpec) -> None:
    info.name = name
    info.dtype = _CODES.get(spec.dtype, DataType.INVALID)
    if spec.shape == ANY_RANK:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for axis in spec.shape:
        info.tensor_shape.dim.add().size = axis if isinstance(axis, int) else -1
