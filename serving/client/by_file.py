"""A .tflite file in this process, in whichever interpreter is installed; real numbers, in quantized files too."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from contract.errors import Code, RuntimeAbsentError, StatusError, UsageError
from contract.tensor_spec import TensorSpec
from runtimes import Session, load, run_real
from serving.client.examples import Features
from serving.client.face import Metadata, ModelRef, Predicted, Scores, VersionStatus
from serving.client.flow import Call
from serving.client.signature import Signature

__all__ = ["FileFace", "FileTransport"]

_RUNTIMES = ("ai_edge_litert", "tflite_runtime")
_DEFAULT = "serving_default"
_VERSION = 1


class FileFace:
    """Calls of one file. The name of the model has no meaning here; a version or a label is refused."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sessions: dict[str, Session] = {}

    def metadata(self, ref: ModelRef) -> Call[Metadata]:
        """The signatures; a file without any has ``serving_default`` with its tensors' names."""
        self._check(ref)

        def read() -> Metadata:
            from inspection import inspect
            from inspection.tflite import Tflite

            content = inspect(self._path).content
            if not isinstance(content, Tflite):
                raise UsageError(f"{self._path}: not a TFLite file")
            names = dict.fromkeys(border.signature or _DEFAULT for border in content.inputs_and_outputs)
            return Metadata(None, {name: _signature(self._session(name)) for name in names})

        return Call(read, lambda found: found)

    def predict(
        self, ref: ModelRef, name: str, signature: Signature, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> Call[Predicted]:
        """Runs a signature; ``signature`` was checked before."""
        self._check(ref)
        names = outputs or [spec.name for spec in signature.outputs]

        def ran() -> Predicted:
            found = run_real(self._session(name), inputs)
            return Predicted({alias: found[alias] for alias in names}, None)

        return Call(ran, lambda found: found)

    def classify(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[Scores]:
        """Refuses."""
        raise self._no_examples("classify")

    def regress(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[list[float]]:
        """Refuses."""
        raise self._no_examples("regress")

    def status(self, ref: ModelRef) -> Call[list[VersionStatus]]:
        """One version that is there, if the file loads."""
        self._check(ref)

        def looked() -> list[VersionStatus]:
            self._session(_DEFAULT)
            return [VersionStatus(_VERSION, "AVAILABLE")]

        return Call(looked, lambda found: found)

    def close(self) -> None:
        """Gives the memory back."""
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _check(self, ref: ModelRef) -> None:
        if ref.version is not None or ref.label is not None:
            raise UsageError(f"{self._path}: a file has no versions and no labels; leave them out")

    def _no_examples(self, method: str) -> StatusError:
        return StatusError(Code.UNIMPLEMENTED, f"{self._path}: a .tflite file cannot {method} examples; use predict")

    def _session(self, name: str) -> Session:
        if name not in self._sessions:
            self._sessions[name] = self._loaded(name)
        return self._sessions[name]

    def _loaded(self, name: str) -> Session:
        try:
            return load(_RUNTIMES[0], self._path, signature=name)
        except RuntimeAbsentError as err:
            try:
                return load(_RUNTIMES[1], self._path, signature=name)
            except RuntimeAbsentError:
                raise err from None


class FileTransport:
    """Runs the calls, one at a time: an interpreter belongs to one thread."""

    def __init__(self, face: FileFace) -> None:
        self._face = face
        self._lock = threading.Lock()

    def send(self, payload: Callable[[], Any], timeout: float | None) -> Any:
        """Runs a call; the deadline counts for the wait, a run is not interrupted."""
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise StatusError(Code.DEADLINE_EXCEEDED, f"another call was not done within {timeout:.3g} s")
        try:
            return payload()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Gives the memory back."""
        with self._lock:
            self._face.close()


def _signature(session: Session) -> Signature:
    """What the file takes as real numbers."""

    def real(spec: TensorSpec) -> TensorSpec:
        return TensorSpec(spec.name, "float32", spec.shape) if spec.name in session.quantization else spec

    return Signature(tuple(map(real, session.inputs)), tuple(map(real, session.outputs)))
