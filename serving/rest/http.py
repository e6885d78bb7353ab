"""HTTP/1.1 on asyncio: requests in, responses out. The head is parsed by httptools (llhttp)."""

import asyncio
import email.utils
import functools
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, cast

import httptools

from serving.memory import note_message

__all__ = ["HttpLimits", "HttpProtocol", "Pending", "Request", "Response"]

_log = logging.getLogger(__name__)

_MAX_HEAD = 64 * 1024
_MAX_UNPACKED = 100 * 2**20
"""Bytes of a gzip body when unpacked (net_http's default of TensorFlow Serving)."""

_LINGER_SECONDS = 2.0
"""How long a refused client may go on sending: if its connection ended at once, it might not see the answer."""

_SMALL_BODY = 16 * 1024
"""Up to here a body is parsed on the event loop; what is larger goes to a thread."""


@dataclass(slots=True)
class Request:
    """One request, read to its end.

    Attributes:
        method: such as ``POST``.
        target: path and query as they came.
        headers: as bytes, because few are ever looked at; names in lower case.
        body: unpacked where it came as gzip; empty where it could not be unpacked.
        is_old: it is HTTP/1.0, which has to be told that its connection stays.
    """

    method: str
    target: str
    headers: dict[bytes, bytes]
    body: bytes
    is_old: bool = False

    def header(self, name: str, default: str = "") -> str:
        """The value of a header."""
        value = self.headers.get(name.encode())
        return default if value is None else value.decode("latin-1")


@dataclass(slots=True)
class Response:
    """One response.

    Attributes:
        status: HTTP's number.
        body: the bytes.
        content_type: of the body.
        headers: further lines, each with its end.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: str = ""


class Pending(Protocol):
    """A response that is yet to be computed."""

    def is_quick(self) -> bool:
        """Whether it can be computed on the event loop."""
        ...

    def finish(self) -> Response:
        """Computes it."""
        ...


Answer = Callable[[Request], Response | Pending]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a client may ask for.

    Attributes:
        max_body: bytes of a body; None for any number.
        head_seconds: a request whose head has not come in this time ends its connection.
        idle_seconds: a connection on which nothing has happened for so long ends.
    """

    max_body: int | None = None
    head_seconds: float = 30.0
    idle_seconds: float = 600.0


@dataclass(eq=False)
class Connections:
    """The open connections of a server, so that a stop can end them and the slow can be found."""

    answer: Answer
    executor: Executor
    limits: HttpLimits
    open: "set[HttpProtocol]" = field(default_factory=set)
    is_draining: bool = False

    def sweep(self) -> None:
        """Ends connections that take too long."""
        now = time.monotonic()
        for connection in list(self.open):
            connection.end_if_late(now)


class HttpProtocol(asyncio.Protocol):
    """One connection; requests on it are answered one after the other."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._is_busy = False
        self._has_ended = False
        self._refusal: HTTPStatus | None = None
        self._is_refused = False
        self._since = time.monotonic()
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes part in the server's sweeps."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves the server's sweeps."""
        self._connections.open.discard(self)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, which calls the ``on_`` methods."""
        if self._is_refused:
            return
        if not self._has_head:
            self._head_bytes += len(data)
            if self._head_bytes == len(data):
                self._since = time.monotonic()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(HTTPStatus.BAD_REQUEST)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        else:
            if not self._has_head and self._head_bytes > _MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def eof_received(self) -> bool:
        """A client that sends no more still gets the answer to what it has asked; TLS has no half connections."""
        self._has_ended = True
        return self._is_busy and self._transport.get_extra_info("sslcontext") is None

    def on_url(self, url: bytes) -> None:
        """The target, or a part of it."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value.strip()

    def on_headers_complete(self) -> None:
        """The head is there: refuses a body that is too long before it comes."""
        self._has_head = True
        length = self._headers.get(b"content-length", b"")
        if length.isdigit():
            self._check_size(int(length))
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._is_refused:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        self._check_size(self._body_bytes)

    def on_message_complete(self) -> None:
        """A request is there."""
        if self._is_refused:
            return
        method = self._parser.get_method().decode("latin-1")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        is_old = self._parser.get_http_version() == "1.0"
        request = Request(method, self._target.decode("latin-1"), self._headers, body, is_old)
        keeps_alive = self._parser.should_keep_alive()
        self._begin()
        if self._is_busy:
            self._waiting.append((request, keeps_alive))
        else:
            self._answer(request, keeps_alive)

    def end_if_late(self, now: float) -> None:
        """Ends a connection whose client does not send what it has begun, or nothing at all."""
        limits = self._connections.limits
        if self._is_busy:
            return
        limit = limits.head_seconds if self._head_bytes and not self._has_head else limits.idle_seconds
        if now - self._since > limit:
            self._transport.close()

    def end_if_idle(self) -> None:
        """Ends a connection on which nothing is to be answered."""
        if not self._is_busy:
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection whatever goes on."""
        self._transport.abort()

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._has_head = False

    def _check_size(self, size: int) -> None:
        limit = self._connections.limits.max_body
        if limit is not None and size > limit:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _answer(self, request: Request, keeps_alive: bool) -> None:
        connections = self._connections
        is_gzip = request.headers.get(b"content-encoding") == b"gzip"
        if len(request.body) <= _SMALL_BODY and not is_gzip:
            try:
                result = connections.answer(request)
                if not isinstance(result, Response) and result.is_quick():
                    result = result.finish()
            except Exception as err:  # noqa: BLE001  the other connections go on
                self._fail(err)
                return
            if isinstance(result, Response):
                self._write(request, result, keeps_alive)
                return
            work: Callable[[], Response] = result.finish
        else:
            work = functools.partial(_answer_large, connections.answer, request, is_gzip)
        self._is_busy = True
        future = asyncio.get_running_loop().run_in_executor(connections.executor, work)
        future.add_done_callback(lambda done: self._answered(request, done, keeps_alive))

    def _answered(self, request: Request, done: "asyncio.Future[Response]", keeps_alive: bool) -> None:
        self._is_busy = False
        if done.cancelled() or self._transport.is_closing():
            return
        if (error := done.exception()) is not None:
            self._fail(error)
            return
        self._write(request, done.result(), keeps_alive)
        while self._waiting and not self._is_busy:
            self._answer(*self._waiting.popleft())
        if self._is_busy or self._transport.is_closing():
            return
        if self._refusal is not None:
            self._write_refusal(self._refusal)
        elif self._has_ended:
            self._transport.close()

    def _write(self, request: Request, response: Response, keeps_alive: bool) -> None:
        self._since = time.monotonic()
        keeps_alive = keeps_alive and not self._connections.is_draining
        stays = "Connection: keep-alive\r\n" if request.is_old else ""
        head = (
            f"HTTP/1.1 {_STATUS_LINES[response.status]}\r\nContent-Type: {response.content_type}\r\n"
            f"Date: {_date(int(time.time()))}\r\n{response.headers}Content-Length: {len(response.body)}\r\n"
            f"{stays if keeps_alive else _CLOSES}\r\n"
        )
        body = b"" if request.method == "HEAD" else response.body
        self._transport.write(head.encode("latin-1") + body)
        if not keeps_alive:
            self._waiting.clear()
            self._transport.close()

    def _fail(self, error: BaseException) -> None:
        """Answers what we could not answer."""
        _log.error("A request could not be answered", exc_info=error)
        self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answers what is no request, after the requests that came before it, and ends the connection."""
        if self._is_refused or self._transport.is_closing():
            return
        self._is_refused = True
        if self._is_busy:
            self._refusal = status
        else:
            self._write_refusal(status)

    def _write_refusal(self, status: HTTPStatus) -> None:
        body = html_page(status)
        head = (
            f"HTTP/1.1 {_STATUS_LINES[status]}\r\nContent-Type: text/html\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode("latin-1") + body)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)


def html_page(status: HTTPStatus) -> bytes:
    """The page with which libevent, the original's HTTP library, answers what it does not know."""
    return (
        f"<HTML><HEAD>\n<TITLE>{status.value} {status.phrase}</TITLE>\n</HEAD><BODY>\n<H1>{status.phrase}</H1>\n"
        "</BODY></HTML>\n"
    ).encode()


def _answer_large(answer: Answer, request: Request, is_gzip: bool) -> Response:
    """The whole way of a request that is not for the event loop."""
    note_message(len(request.body))
    if is_gzip:
        request.body = _unpack(request.body)
    result = answer(request)
    return result if isinstance(result, Response) else result.finish()


def _unpack(body: bytes) -> bytes:
    """A gzip body, empty where it is none, is cut off, or is too long."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, _MAX_UNPACKED)
    except zlib.error:
        return b""
    return data if unpacker.eof else b""


_CLOSES = "Connection: close\r\n"

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus} | {
    499: "499 Client Closed Request"
}


@functools.lru_cache(maxsize=2)
def _date(second: int) -> str:
    return email.utils.formatdate(second, usegmt=True)
