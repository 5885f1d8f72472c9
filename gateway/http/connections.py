"""What a connection may cost before the application has a request to look at: uvicorn itself has no limits for that."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

#: Bytes of a request's head (and of trailers, and of anything else that gives the application nothing).
MAX_HEAD_BYTES = 64 * 1024
#: A body that comes slower (bytes a second) is cut.
SLOWEST = 16 * 1024
#: Connections beyond `limit_concurrency` that are still answered, with 503.
_ANSWERED = 100

_TOO_LARGE = b'{"detail":"The head of the request is too large"}'
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s"
) % (len(_TOO_LARGE), _TOO_LARGE)


def most_connections(wanted: int) -> int:
    """Returns `wanted`, or three quarters of the limit of open files if that is less: other servers need the rest."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or files * 3 // 4 >= wanted:
        return wanted
    most = files * 3 // 4
    log.warning("at most %d HTTP connections, as the limit of open files is %d", most, files)
    return most


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits of connections, of a request's head and of its time.

    `limit_concurrency` of the configuration bounds the connections; `too_many` answers requests beyond it, because
    uvicorn's own answer is no JSON, and not for pages of other origins. `cut_slow_clients` has to be called now and
    then.
    """

    too_many: ASGIApp | None = None

    _unread = 0
    """Bytes that came without giving the application anything."""
    _body_bytes = 0
    _since: float | None = None
    """When what is not yet complete began: a head, a body, or the wait for the first of them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) >= limit + _ANSWERED:
            self.transport = transport
            transport.abort()
            self._say_once("refusing", "more than %d HTTP connections: further ones are refused", limit)
            return
        self._since = self.loop.time()
        super().connection_made(transport)

    def _say_once(self, what: str, message: str, limit: int) -> None:
        if not getattr(self.server_state, what, False):
            setattr(self.server_state, what, True)
            log.error(message + " (TASKGATE_MAX_CONNECTIONS)", limit)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MAX_HEAD_BYTES:
            self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()
        elif self._unread and self._since is None:
            self._since = self.loop.time()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._since = self.loop.time()
        self._body_bytes = 0

    def on_headers_complete(self) -> None:
        self._unread = 0
        app, limit = self.app, self.limit_concurrency
        if self.too_many is not None and limit is not None:
            self.limit_concurrency = None
            if max(len(self.connections), len(self.tasks)) >= limit:
                self.app = self.too_many
                self._say_once("refusing_requests", "more than %d HTTP connections: requests are answered 503", limit)
        try:
            super().on_headers_complete()
        finally:
            self.app, self.limit_concurrency = app, limit

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        self._since = None
        super().on_message_complete()

    def cut_if_slow(self, now: float, seconds: float) -> None:
        """End the connection when its client had more time than it may have for what it sends."""
        if self._since is None:
            return
        if self.flow.read_paused:
            self._since = now - self._body_bytes / SLOWEST  # the application is slow, not the client
            return
        # A body that arrives after the answer is of no use.
        useful = 0 if self.cycle is not None and self.cycle.response_complete else self._body_bytes
        if now - self._since > seconds + useful / SLOWEST:
            self.transport.abort()


def bounded(too_many: ASGIApp) -> type[BoundedProtocol]:
    """The protocol, with what answers requests beyond the limit of connections."""
    return type(BoundedProtocol.__name__, (BoundedProtocol,), {"too_many": staticmethod(too_many)})


async def cut_slow_clients(connections: Iterable[Any], seconds: float) -> None:
    """For ever: end the connections of `BoundedProtocol` whose clients need longer than `seconds` for a head."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(min(1.0, seconds / 4))
        now = loop.time()
        for connection in list(connections):
            if isinstance(connection, BoundedProtocol):
                connection.cut_if_slow(now, seconds)
