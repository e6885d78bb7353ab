"""A model server: the models, and the two faces that answer for them."""

import gc
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from contract.errors import StatusError
from runtimes.tensorflow_c_api import release_start_pages
from serving.grpc_face.server import GrpcOptions, GrpcServer
from serving.grpc_face.services import MODEL_SERVICE, PREDICTION_SERVICE, services
from serving.handlers.settings import Settings
from serving.loading import LoadOptions, VersionLoader
from serving.manager.core import CoreOptions, ServerCore
from serving.rest.face import RestFace, RestOptions
from serving.rest.http import Answer, HttpLimits, Request, Response
from serving.rest.server import HttpServer
from serving.tokens import TokenInterceptor, with_token

__all__ = ["HttpOptions", "ModelServer", "ServerOptions", "settle"]

_log = logging.getLogger(__name__)

_SWITCH_SECONDS = 1e-3
"""How long a thread may keep the interpreter when others want it. A call by gRPC needs it several times."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the HTTP server listens.

    Attributes:
        port: TCP port, 0 for no HTTP.
        host: address, None for all.
        threads: that compute what is not for the event loop.
        limits: what a client may ask for.
        tls: an ``ssl.SSLContext``, None for plain HTTP.
        shares_port: other processes may listen on the port as well.
        is_required: fail the start where the port is taken, instead of going on without HTTP.
    """

    port: int = 0
    host: str | None = None
    threads: int = 8
    limits: HttpLimits = field(default_factory=HttpLimits)
    tls: Any = None
    shares_port: bool = False
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """All that a server needs to know but its models.

    Attributes:
        grpc: how the gRPC server listens.
        http: how the HTTP server listens.
        rest: how the REST API answers.
        core: how models are found.
        load: how versions are loaded.
        settings: how calls are answered.
        has_health_service: offer the standard gRPC health service.
        can_reload: take another list of models by call.
        token: what clients have to show as a bearer token, empty for nothing.
        pages: makes answers to paths outside ``/v1/`` from the server.
    """

    grpc: GrpcOptions
    http: HttpOptions = field(default_factory=HttpOptions)
    rest: RestOptions = field(default_factory=RestOptions)
    core: CoreOptions = field(default_factory=CoreOptions)
    load: LoadOptions = field(default_factory=LoadOptions)
    settings: Settings = field(default_factory=Settings)
    has_health_service: bool = False
    can_reload: bool = True
    token: str = ""
    pages: Callable[["ModelServer"], Callable[[Request], Response | None]] | None = None


class ModelServer:
    """Models behind gRPC and REST.

    Attributes:
        core: the models.
    """

    def __init__(self, options: ServerOptions) -> None:
        """Prepares a server; `start` loads the models and opens the ports."""
        self._options = options
        self._is_draining = False
        self.core = ServerCore(VersionLoader(options.load, options.settings, options.settings.metrics), options.core)
        self._grpc: GrpcServer | None = None
        self._http: HttpServer | None = None
        self._reloader: threading.Thread | None = None
        self._stopped = threading.Event()

    def start(self, config: Any) -> None:
        """Loads the models of a ``ModelServerConfig``, then opens the ports.

        Raises:
            StatusError: the config is refused, a model does not load, a port is taken.
        """
        self.core.reload(config)
        self._start_grpc()
        self._start_http()

    def is_serving(self) -> bool:
        """Whether new calls are welcome."""
        return not self._is_draining

    def poll_config(self, read: Callable[[], Any], seconds: float) -> None:
        """Reads the config anew again and again, and puts it in force; one that is refused is only logged.

        Args:
            read: gives the ``ModelServerConfig``; raises StatusError.
            seconds: between two readings.
        """

        def loop() -> None:
            while not self._stopped.wait(seconds):
                try:
                    self.core.reload(read())
                except StatusError as err:
                    _log.error("PollFilesystemAndReloadConfig failed to ReloadConfig: %s", err)

        self._reloader = threading.Thread(target=loop, name="config", daemon=True)
        self._reloader.start()

    def stop(self, grace: float) -> None:
        """Takes no new calls, lets those that run end, at most ``grace`` seconds, and ends."""
        self._is_draining = True
        self._stopped.set()
        stopping = [
            threading.Thread(target=face.stop, args=(grace,)) for face in (self._grpc, self._http) if face is not None
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self.core.stop()

    def _start_grpc(self) -> None:
        options = self._options
        handlers: list[grpc.GenericRpcHandler] = services(self.core, options.settings, can_reload=options.can_reload)
        names = [PREDICTION_SERVICE, MODEL_SERVICE]
        if options.has_health_service:
            from serving.grpc_face.health import health_service

            handlers.append(health_service(self.is_serving))
            names.append("grpc.health.v1.Health")
        interceptors = [TokenInterceptor(options.token)] if options.token else []
        self._grpc = GrpcServer(options.grpc, handlers, interceptors)
        from serving.grpc_face.reflection import add_reflection

        add_reflection(names, self._grpc.server)
        self._grpc.start()
        if options.grpc.port:
            _log.info("Running gRPC ModelServer at %s:%d ...", options.grpc.address, options.grpc.port)
        if options.grpc.socket_path:
            _log.info("Running gRPC ModelServer at UNIX socket %s ...", options.grpc.socket_path)

    def _start_http(self) -> None:
        http = self._options.http
        if not http.port:
            return
        if http.port == self._options.grpc.port:
            _log.error("--rest_api_port cannot be same as --port. Please use a different port for HTTP/REST API.")
            return
        options = self._options
        rest = options.rest if options.pages is None else replace(options.rest, extra=options.pages(self))
        face: Answer = RestFace(self.core, options.settings, rest)
        server = HttpServer(
            with_token(face, options.token) if options.token else face,
            threads=http.threads,
            limits=http.limits,
            tls=http.tls,
            shares_port=http.shares_port,
        )
        try:
            server.start(http.host, http.port)
        except OSError as err:
            if http.is_required:
                raise
            _log.error("Failed to start HTTP Server at localhost:%d: %s", http.port, err)
            return
        self._http = server
        _log.info("Exporting HTTP/REST API at:localhost:%d ...", http.port)


def settle() -> None:
    """After the start: the collector need not walk what stays, and what only the start needs goes."""
    gc.collect()
    gc.freeze()
    release_start_pages()
    sys.setswitchinterval(_SWITCH_SECONDS)
