"""The HTTP server: a thread with an event loop of its own."""

import asyncio
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import uvloop

from serving.rest.http import Answer, Connections, HttpLimits, HttpProtocol

__all__ = ["HttpServer"]

_SWEEP_SECONDS = 5.0


class HttpServer:
    """Answers HTTP on one port."""

    def __init__(
        self,
        answer: Answer,
        *,
        threads: int,
        limits: HttpLimits,
        tls: ssl.SSLContext | None = None,
        shares_port: bool = False,
    ) -> None:
        """Prepares a server; `start` opens its port.

        Args:
            answer: answers a request.
            threads: that compute what is not for the event loop.
            limits: what a client may ask for.
            tls: for HTTPS; None for plain HTTP.
            shares_port: other processes may listen on the port as well.
        """
        self._tls = tls
        self._shares_port = shares_port
        self._executor = ThreadPoolExecutor(max(1, threads), "rest")
        self._connections = Connections(answer, self._executor, limits)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._server: asyncio.AbstractServer

    def start(self, host: str | None, port: int) -> None:
        """Opens the port and serves.

        Args:
            host: the address to listen on, None for all.
            port: its number.

        Raises:
            OSError: the port cannot be taken.
        """
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(host, port), self._loop).result()

    def stop(self, grace: float) -> None:
        """Takes no new connections, lets running requests end, at most ``grace`` seconds."""
        asyncio.run_coroutine_threadsafe(self._drain(grace), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _start(self, host: str | None, port: int) -> None:
        self._server = await self._loop.create_server(
            lambda: HttpProtocol(self._connections),
            host,
            port,
            ssl=self._tls,
            backlog=1024,
            reuse_port=self._shares_port or None,
        )
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._connections.sweep()
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def _drain(self, grace: float) -> None:
        self._server.close()
        self._connections.is_draining = True
        end = self._loop.time() + grace
        while self._connections.open and self._loop.time() < end:
            for connection in list(self._connections.open):
                connection.end_if_idle()
            await asyncio.sleep(0.02)
        for connection in list(self._connections.open):
            connection.abort()
        await asyncio.sleep(0)  # they are closed in the next turn of the loop
