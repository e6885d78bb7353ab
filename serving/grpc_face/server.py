"""The gRPC server: ports, credentials, limits."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc

from contract.errors import Code, StatusError

__all__ = ["GrpcOptions", "GrpcServer", "Tls"]

_MAX_MESSAGE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Tls:
    """Keys and certificates, PEM.

    Attributes:
        key: the server's private key.
        certificate: the server's certificate chain.
        client_ca: whom the server believes clients' certificates, empty for nobody.
        verifies_client: refuse clients without a certificate of ``client_ca``.
    """

    key: bytes
    certificate: bytes
    client_ca: bytes = b""
    verifies_client: bool = False


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """How the server listens.

    Attributes:
        address: such as ``0.0.0.0``; with ``port``.
        port: TCP port, 0 for none.
        socket_path: a UNIX socket to listen on as well, empty for none.
        max_threads: calls that run at the same time; more wait.
        max_calls: calls above which new ones are refused with RESOURCE_EXHAUSTED, None for no limit.
        max_message_bytes: of a request.
        tls: for TCP and socket; None for plain text.
        arguments: channel arguments of gRPC, by name.
        shares_port: other processes may listen on the port as well.
    """

    address: str
    port: int
    socket_path: str = ""
    max_threads: int = 32
    max_calls: int | None = None
    max_message_bytes: int = _MAX_MESSAGE
    tls: Tls | None = None
    arguments: tuple[tuple[str, int | str], ...] = ()
    shares_port: bool = False


class GrpcServer:
    """A gRPC server on the thread pool of grpcio."""

    def __init__(
        self,
        options: GrpcOptions,
        handlers: Iterable[grpc.GenericRpcHandler],
        interceptors: Iterable[grpc.ServerInterceptor] = (),
    ) -> None:
        """Prepares a server; `start` opens its ports.

        Args:
            options: how it listens.
            handlers: what it answers.
            interceptors: look at each call first.
        """
        self._options = options
        self._pool = ThreadPoolExecutor(options.max_threads, "grpc")
        self.server = grpc.server(
            self._pool,
            handlers=tuple(handlers),
            interceptors=tuple(interceptors),
            maximum_concurrent_rpcs=options.max_calls,
            options=(
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", _MAX_MESSAGE),
                ("grpc.so_reuseport", int(options.shares_port)),
                *options.arguments,
            ),
        )

    def start(self) -> None:
        """Opens the ports and serves.

        Raises:
            StatusError: UNKNOWN, a port or the socket's path cannot be taken.
        """
        options = self._options
        if options.port:
            self._listen(f"{options.address}:{options.port}")
        if options.socket_path:
            self._listen(f"unix:{Path(options.socket_path).absolute()}")
        self.server.start()

    def stop(self, grace: float | None) -> None:
        """Takes no new calls, and waits for those that run, at most ``grace`` seconds."""
        self.server.stop(grace).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _listen(self, address: str) -> None:
        try:
            if self._options.tls is None:
                port = self.server.add_insecure_port(address)
            else:
                port = self.server.add_secure_port(address, _credentials(self._options.tls))
        except RuntimeError:  # its text only says that it failed
            port = 0
        if not port:
            raise StatusError(
                Code.UNKNOWN,
                f"Error initializing gRPC server: {address} cannot be taken; is another server running? choose another",
            )


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)], tls.client_ca or None, require_client_auth=tls.verifies_client
    )
