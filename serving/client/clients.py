"""`Client` for threads and `AsyncClient` for an event loop: thin shells around `Core`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from numpy.typing import ArrayLike

from contract.errors import UsageError
from serving.client.core import Core
from serving.client.face import Arrays, AsyncTransport, Face, InThreads, Scores, Transport, VersionStatus
from serving.client.flow import Flow, run, run_async
from serving.client.signature import Signature
from serving.client.target import Target, TargetKind, Tls

__all__ = ["AsyncClient", "Client"]

T = TypeVar("T")


def _face(target: Target) -> Face:
    """The face of a target; imports only what it needs."""
    match target.kind:
        case TargetKind.GRPC:
            from serving.client.by_grpc import GrpcFace

            return GrpcFace()
        case TargetKind.REST:
            from serving.client.by_rest import RestFace

            return RestFace()
        case TargetKind.TFLITE:
            from serving.client.by_file import FileFace

            return FileFace(Path(target.address))


def _transport(target: Target, face: Face, tls: Tls | None, token: str | None) -> Transport:
    match target.kind:
        case TargetKind.GRPC:
            from serving.client.by_grpc import GrpcTransport

            return GrpcTransport(target, tls, token)
        case TargetKind.REST:
            from serving.client.by_rest import RestTransport

            return RestTransport(target, tls, token)
        case TargetKind.TFLITE:
            from serving.client.by_file import FileFace, FileTransport

            assert isinstance(face, FileFace)
            return FileTransport(face)


def _async_transport(target: Target, face: Face, tls: Tls | None, token: str | None) -> AsyncTransport:
    if target.kind is not TargetKind.GRPC:
        return InThreads(_transport(target, face, tls, token))
    from serving.client.by_grpc import AioTransport

    return AioTransport(target, tls, token)


def _settings(text: str, tls: Tls | None, token: str | None) -> Target:
    target = Target.parse(text)
    is_plain = target.kind is TargetKind.TFLITE or (target.kind is TargetKind.REST and not target.is_https)
    if tls is not None and is_plain:
        raise UsageError(
            f"target {text!r} is not encrypted; leave tls out" + (", or say https://" if "://" in text else "")
        )
    if token is not None and not (token.isascii() and token.isprintable()):
        raise UsageError("token: wanted printable ASCII")
    return target


class Client:
    """A server or a file, called from threads; they may share it. Use it in ``with``, or `close` it."""

    def __init__(
        self,
        target: str,
        *,
        model: str | None = None,
        tls: Tls | None = None,
        token: str | None = None,
        timeout: float | None = 10.0,
        retries: int = 3,
    ) -> None:
        """Connects to nothing yet.

        Args:
            target: ``host:port`` or ``grpc://host:port`` for gRPC, ``unix:/path`` for gRPC over a socket,
                ``http://host:port`` or ``https://host:port`` for REST, or a path that ends in ``.tflite``.
            model: the model of calls that name none.
            tls: the files of an encrypted gRPC connection; for https also None, which trusts the system's roots.
            token: sent as ``authorization: Bearer ...``.
            timeout: seconds for a whole call, retries included; None for no limit.
            retries: how often a call is made again where the server is UNAVAILABLE.

        Raises:
            UsageError: one of them cannot be used.
        """
        self._target = _settings(target, tls, token)
        face = _face(self._target)
        is_file = self._target.kind is TargetKind.TFLITE
        self._core = Core(face, model=model, timeout=timeout, retries=retries, is_file=is_file)
        self._transport = _transport(self._target, face, tls, token)
        self._is_closed = False

    def predict(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "serving_default",
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Arrays:
        """Runs a signature once.

        The inputs are held against the signature before they are sent; it is fetched once and kept.

        Args:
            inputs: arrays or nested lists by name, or the bare value of the only input. An array's dtype must cast
                safely to the signature's; lists take it. Strings are ``bytes`` or ``str``, which becomes UTF-8.
            model: which model; None for the client's.
            version: its number; None for the newest.
            label: or the label of a version.
            signature: which signature.
            outputs: the outputs that are wanted; None for all.
            timeout: seconds for this call; None for the client's.

        Returns:
            Name and value of each output; strings are ``bytes`` in an object array.

        Raises:
            SpecError: a name, dtype or shape does not fit, or there is no such signature or output.
            StatusError: what the server answered, UNAVAILABLE, or DEADLINE_EXCEEDED.
            UsageError: no model is named, or both a version and a label.
        """
        return self._run(
            self._core.predict(
                inputs,
                model=model,
                version=version,
                label=label,
                signature=signature,
                outputs=outputs,
                timeout=timeout,
            )
        )

    def classify(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "serving_default",
        timeout: float | None = None,
    ) -> Scores:
        """Label and score of each class, example by example.

        Args:
            examples: features by name: a number, a string or a flat list of one kind. Integers and decimals are
                different kinds: ``1`` is int64, ``1.0`` is float.
            model: which model; None for the client's.
            version: its number; None for the newest.
            label: or the label of a version.
            signature: which signature.
            timeout: seconds for this call; None for the client's.

        Raises:
            SpecError: an example is no dictionary of features.
            StatusError, UsageError: as `predict`; UNIMPLEMENTED for a .tflite file.
        """
        return self._run(
            self._core.classify(
                examples, model=model, version=version, label=label, signature=signature, timeout=timeout
            )
        )

    def regress(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "serving_default",
        timeout: float | None = None,
    ) -> list[float]:
        """The value of each example; arguments and errors as `classify`."""
        return self._run(
            self._core.regress(
                examples, model=model, version=version, label=label, signature=signature, timeout=timeout
            )
        )

    def metadata(
        self,
        model: str | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Signature]:
        """The signatures by name, as the server states them now.

        Raises:
            StatusError, UsageError: as `predict`.
        """
        return self._run(self._core.metadata(model, version=version, label=label, timeout=timeout))

    def status(
        self, model: str | None = None, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """The versions that the server knows of, the highest first; of a file that loads, version 1.

        Raises:
            StatusError, UsageError: as `predict`.
        """
        return self._run(self._core.status(model, version=version, timeout=timeout))

    def ready(self, model: str | None = None, *, timeout: float | None = None) -> bool:
        """Whether the model has a version that answers; where no model is named, whether a server does.

        Asks once, without retries.

        Raises:
            StatusError: the server answers with another error than that it is not there, such as UNAUTHENTICATED.
        """
        return self._run(self._core.ready(model, timeout=timeout))

    def close(self) -> None:
        """Ends all connections, or gives the model's memory back; closing twice is harmless."""
        if not self._is_closed:
            self._is_closed = True
            self._transport.close()

    def __enter__(self) -> Self:
        """The client itself, closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the client."""
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        if self._is_closed:
            raise ValueError(f"the client of {self._target.text} is closed")
        return run(flow, self._transport.send)


class AsyncClient:
    """A server or a file, called from one event loop, that of the first call: the methods of `Client` as coroutines.

    gRPC is grpc.aio. REST and files run in threads of the loop (``asyncio.to_thread``), where a call that is cancelled
    goes on to its end or its deadline, unheard. Use it in ``async with``, or `close` it.
    """

    def __init__(
        self,
        target: str,
        *,
        model: str | None = None,
        tls: Tls | None = None,
        token: str | None = None,
        timeout: float | None = 10.0,
        retries: int = 3,
    ) -> None:
        """Connects to nothing yet, and needs no running loop; the arguments are those of `Client`.

        Raises:
            UsageError: one of them cannot be used.
        """
        self._target = _settings(target, tls, token)
        self._face = _face(self._target)
        is_file = self._target.kind is TargetKind.TFLITE
        self._core = Core(self._face, model=model, timeout=timeout, retries=retries, is_file=is_file)
        self._tls, self._token = tls, token
        self._transport: AsyncTransport | None = None
        self._is_closed = False

    async def predict(
        self,
        inputs: Mapping[str, ArrayLike] | ArrayLike,
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "serving_default",
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Arrays:
        """Runs a signature once.

        The inputs are held against the signature before they are sent; it is fetched once and kept.

        Args:
            inputs: arrays or nested lists by name, or the bare value of the only input. An array's dtype must cast
                safely to the signature's; lists take it. Strings are ``bytes`` or ``str``, which becomes UTF-8.
            model: which model; None for the client's.
            version: its number; None for the newest.
            label: or the label of a version.
            signature: which signature.
            outputs: the outputs that are wanted; None for all.
            timeout: seconds for this call; None for the client's.

        Returns:
            Name and value of each output; strings are ``bytes`` in an object array.

        Raises:
            SpecError: a name, dtype or shape does not fit, or there is no such signature or output.
            StatusError: what the server answered, UNAVAILABLE, or DEADLINE_EXCEEDED.
            UsageError: no model is named, or both a version and a label.
        """
        return await self._run(
            self._core.predict(
                inputs,
                model=model,
                version=version,
                label=label,
                signature=signature,
                outputs=outputs,
                timeout=timeout,
            )
        )

    async def classify(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "serving_default",
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Scores:
        """Label and score of each class, example by example.

        Args:
            examples: features by name: a number, a string or a flat list of one kind. Integers and decimals are
                different kinds: ``1`` is int64, ``1.0`` is float.
            model: which model; None for the client's.
            version: its number; None for the newest.
            label: or the label of a version.
            signature: which signature.
            timeout: seconds for this call; None for the client's.

        Raises:
            SpecError: an example is no dictionary of features.
            StatusError, UsageError: as `predict`; UNIMPLEMENTED for a .tflite file.
        """
        return await self._run(
            self._core.classify(
                examples, model=model, version=version, label=label, signature=signature, timeout=timeout
            )
        )

    async def regress(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "serving_default",
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[float]:
        """The value of each example; arguments and errors as `classify`."""
        return await self._run(
            self._core.regress(
                examples, model=model, version=version, label=label, signature=signature, timeout=timeout
            )
        )

    async def metadata(
        self,
        model: str | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> dict[str, Signature]:
        """The signatures by name, as the server states them now.

        Raises:
            StatusError, UsageError: as `predict`.
        """
        return await self._run(self._core.metadata(model, version=version, label=label, timeout=timeout))

    async def status(
        self,
        model: str | None = None,
        *,
        version: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[VersionStatus]:
        """The versions that the server knows of, the highest first; of a file that loads, version 1.

        Raises:
            StatusError, UsageError: as `predict`.
        """
        return await self._run(self._core.status(model, version=version, timeout=timeout))

    async def ready(self, model: str | None = None, *, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Whether the model has a version that answers; where no model is named, whether a server does.

        Asks once, without retries.

        Raises:
            StatusError: the server answers with another error than that it is not there, such as UNAUTHENTICATED.
        """
        return await self._run(self._core.ready(model, timeout=timeout))

    async def close(self) -> None:
        """Ends all connections, or gives the model's memory back; closing twice is harmless."""
        self._is_closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def __aenter__(self) -> Self:
        """The client itself, closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the client."""
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        if self._is_closed:
            raise ValueError(f"the client of {self._target.text} is closed")
        if self._transport is None:  # a channel of grpc.aio belongs to the loop that runs when it is made
            self._transport = _async_transport(self._target, self._face, self._tls, self._token)
        return await run_async(flow, self._transport.send)
