"""What a client does, without threads or an event loop: checks, the cache of signatures, the order of the calls."""

from collections.abc import Mapping, Sequence
from typing import Any

from contract.errors import Code, SpecError, StatusError, UsageError
from serving.client.examples import feature_lists
from serving.client.face import Arrays, Face, Metadata, ModelRef, Scores, VersionStatus
from serving.client.flow import Deadline, Flow, attempt
from serving.client.signature import Signature

__all__ = ["Core"]

_STALE = {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION, Code.NOT_FOUND}
"""Answers after which a signature is fetched anew: the model may have been replaced."""

_MISSING = {Code.INVALID_ARGUMENT, Code.NOT_FOUND}
_NOT_READY = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}


class Core:
    """The calls as flows. Threads may share it."""

    def __init__(self, face: Face, *, model: str | None, timeout: float | None, retries: int, is_file: bool) -> None:
        """Takes the settings.

        Raises:
            UsageError: one is out of its range.
        """
        if retries < 0:
            raise UsageError(f"retries: wanted 0 or more, given {retries}")
        Deadline(timeout)
        self._face, self._model, self._timeout, self._retries = face, model, timeout, retries
        self._is_file = is_file
        self._known: dict[ModelRef, Metadata] = {}

    def predict(
        self,
        inputs: Any,
        *,
        model: str | None,
        version: int | None,
        label: str | None,
        signature: str,
        outputs: Sequence[str] | str | None,
        timeout: float | None,
    ) -> Flow[Arrays]:
        """See `Client.predict`."""
        ref, deadline = self._ref(model, version, label), self._deadline(timeout)
        where = f"{ref}, signature {signature}" if ref.name else f"signature {signature}"
        is_cached = ref in self._known
        known = yield from self._metadata(ref, deadline)
        try:
            found, arrays, names = _fitted(where, known, signature, inputs, outputs)
        except SpecError:
            if not is_cached:
                raise
            self._known.pop(ref, None)
            known = yield from self._metadata(ref, deadline)
            found, arrays, names = _fitted(where, known, signature, inputs, outputs)
        call = self._face.predict(ref, signature, found, arrays, names)
        try:
            predicted = yield from attempt(call, deadline, retries=self._retries)
        except StatusError as err:
            if err.code in _STALE:
                self._known.pop(ref, None)
            raise
        if predicted.version != known.version and predicted.version is not None:
            self._known.pop(ref, None)
        return predicted.outputs

    def classify(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        model: str | None,
        version: int | None,
        label: str | None,
        signature: str,
        timeout: float | None,
    ) -> Flow[Scores]:
        """See `Client.classify`."""
        ref, deadline = self._ref(model, version, label), self._deadline(timeout)
        call = self._face.classify(ref, signature, feature_lists(examples))
        return (yield from attempt(call, deadline, retries=self._retries))

    def regress(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        model: str | None,
        version: int | None,
        label: str | None,
        signature: str,
        timeout: float | None,
    ) -> Flow[list[float]]:
        """See `Client.regress`."""
        ref, deadline = self._ref(model, version, label), self._deadline(timeout)
        call = self._face.regress(ref, signature, feature_lists(examples))
        return (yield from attempt(call, deadline, retries=self._retries))

    def metadata(
        self, model: str | None, *, version: int | None, label: str | None, timeout: float | None
    ) -> Flow[dict[str, Signature]]:
        """See `Client.metadata`."""
        ref, deadline = self._ref(model, version, label), self._deadline(timeout)
        self._known.pop(ref, None)
        known = yield from self._metadata(ref, deadline)
        return dict(known.signatures)

    def status(self, model: str | None, *, version: int | None, timeout: float | None) -> Flow[list[VersionStatus]]:
        """See `Client.status`."""
        call, deadline = self._face.status(self._ref(model, version, None)), self._deadline(timeout)
        return (yield from attempt(call, deadline, retries=self._retries))

    def ready(self, model: str | None, *, timeout: float | None) -> Flow[bool]:
        """See `Client.ready`."""
        name = model or self._model
        call, deadline = self._face.status(ModelRef(name or "")), self._deadline(timeout)
        try:
            versions = yield from attempt(call, deadline, retries=0)
        except StatusError as err:
            if err.code in _NOT_READY:
                return False
            if err.code in _MISSING:
                return name is None  # a server that asks for a name is one that answers
            raise
        return any(one.state == "AVAILABLE" for one in versions)

    def _metadata(self, ref: ModelRef, deadline: Deadline) -> Flow[Metadata]:
        known = self._known.get(ref)
        if known is None:
            known = yield from attempt(self._face.metadata(ref), deadline, retries=self._retries)
            self._known[ref] = known
        return known

    def _ref(self, model: str | None, version: int | None, label: str | None) -> ModelRef:
        name = self._model if model is None else model
        if not name and not self._is_file:
            raise UsageError("which model? name it in the call or for the whole client: model=...")
        if version is not None and label is not None:
            raise UsageError(f"version {version} and label {label!r}: one of them says which version")
        if version is not None and version < 0:
            raise UsageError(f"version: wanted 0 or more, given {version}")
        return ModelRef(name or "", version, label)

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else timeout)


def _fitted(
    where: str, known: Metadata, name: str, inputs: Any, outputs: Sequence[str] | str | None
) -> tuple[Signature, Arrays, list[str]]:
    found = known.signatures.get(name)
    if found is None:
        names = ", ".join(sorted(known.signatures))
        raise SpecError(f"{where}: there is no signature {name!r}, only {names}")
    return found, found.fit(where, inputs), found.chosen(where, outputs)
