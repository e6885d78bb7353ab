"""What the three ways to a model have in common."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from contract.errors import Code
from serving.client.examples import Features
from serving.client.flow import Call
from serving.client.signature import Signature

__all__ = [
    "Arrays",
    "AsyncTransport",
    "Face",
    "InThreads",
    "Metadata",
    "ModelRef",
    "Predicted",
    "Scores",
    "Transport",
    "VersionStatus",
]

Arrays = dict[str, NDArray[Any]]
Scores = list[list[tuple[str, float]]]
"""Label and score of each class, example by example."""


class ModelRef(NamedTuple):
    """Which model, and which version of it: by number, by label, or the newest."""

    name: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name} version {self.version}"
        return self.name if self.label is None else f"{self.name} label {self.label}"


class Metadata(NamedTuple):
    """The signatures of a version; ``version`` is None where the answer does not say which."""

    version: int | None
    signatures: dict[str, Signature]


class Predicted(NamedTuple):
    """The outputs of a call, and the version that gave them, where the answer says it."""

    outputs: Arrays
    version: int | None


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version of a model on its server.

    Attributes:
        version: its number.
        state: ``START``, ``LOADING``, ``AVAILABLE``, ``UNLOADING`` or ``END``.
        code: why it ended, OK where nothing failed.
        message: the server's text for ``code``.
    """

    version: int
    state: str
    code: Code = Code.OK
    message: str = ""


class Face(Protocol):
    """Builds calls and reads their answers; does no input or output."""

    def metadata(self, ref: ModelRef) -> Call[Metadata]:
        """The signatures."""
        ...

    def predict(
        self, ref: ModelRef, name: str, signature: Signature, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> Call[Predicted]:
        """Runs the signature ``name`` on inputs that fit it; ``outputs`` is empty for all."""
        ...

    def classify(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[Scores]:
        """Classifies."""
        ...

    def regress(self, ref: ModelRef, name: str, examples: Sequence[Features]) -> Call[list[float]]:
        """Regresses."""
        ...

    def status(self, ref: ModelRef) -> Call[list[VersionStatus]]:
        """The versions, the highest first."""
        ...


class Transport(Protocol):
    """Brings payloads to where they go; threads may share it."""

    def send(self, payload: Any, timeout: float | None) -> Any:
        """Sends and waits for the answer.

        Raises:
            StatusError: what the server answered, UNAVAILABLE, or DEADLINE_EXCEEDED.
        """
        ...

    def close(self) -> None:
        """Ends all connections."""
        ...


class AsyncTransport(Protocol):
    """The same for an event loop."""

    async def send(self, payload: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 - becomes the wire's deadline
        """Sends and waits for the answer: see `Transport.send`."""
        ...

    async def close(self) -> None:
        """Ends all connections."""
        ...


class InThreads:
    """A transport in threads of the event loop. A cancelled call runs to its end there, and is not heard."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def send(self, payload: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 - becomes the wire's deadline
        """Sends and waits for the answer: see `Transport.send`."""
        return await asyncio.to_thread(self._transport.send, payload, timeout)

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.to_thread(self._transport.close)
