"""A link whose open connections can go silent: nothing of them is passed on or closed, while new ones work.

Requests and answers can be late, too. Toxiproxy has a latency of its own, but now and then hangs when that is taken
away again (Shopify/toxiproxy#558).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any


class _End(asyncio.Protocol):
    """One end of a connection; `other` is the opposite one."""

    def __init__(self, link: FaultyLink) -> None:
        self._link = link
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.is_silent = False
        self._last_at = 0.0

    @property
    def late(self) -> float:
        """So many seconds later all is passed on."""
        return self._link.answers_late

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        other = self.other
        if not self.is_silent and other is not None and other.transport is not None:
            self._pass_on(partial(other.transport.write, data))

    def _pass_on(self, do: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + self.late
        if not self.late and self._last_at < at:
            do()
            return
        # In order, and never two at the same time: those would change places.
        self._last_at = max(at, self._last_at + 1e-6)
        loop.call_at(self._last_at, do)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._link.ended(self)
        if not self.is_silent and self.other is not None and self.other.transport is not None:
            self._pass_on(self.other.transport.close)


class _Front(_End):
    """The client's end: opens the server's as soon as somebody connects."""

    @property
    def late(self) -> float:
        return self._link.requests_late

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._link.opening(self)


class FaultyLink:
    """Listens before `host:port`. A connection is known by the port from which it reaches the server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._pairs: dict[int, tuple[_End, _End]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self.port = 0
        self.requests_late = self.answers_late = 0.0
        """Seconds; what is already under way keeps its time."""

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Front(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def opening(self, front: _End) -> None:
        task = asyncio.create_task(self._connect(front))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, front: _End) -> None:
        assert front.transport is not None
        back = _End(self)
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: back, *self._target)
        except OSError:
            front.transport.close()
            return
        if front.transport.is_closing():
            transport.close()
            return
        front.other, back.other = back, front
        self._pairs[transport.get_extra_info("sockname")[1]] = (front, back)
        front.transport.resume_reading()

    def ended(self, end: _End) -> None:
        self._pairs = {port: pair for port, pair in self._pairs.items() if end not in pair or end.is_silent}

    def silence(self, port: int | None = None) -> int:
        """The connection that reaches the server from this port goes silent, or each one; how many did."""
        chosen = [pair for known, pair in self._pairs.items() if port in (None, known)]
        for pair in chosen:
            for end in pair:
                end.is_silent = True
        return len(chosen)

    def drop_silent(self) -> None:
        """The network forgets them: each side is told at last that its connection is over."""
        for pair in [pair for pair in self._pairs.values() if pair[0].is_silent]:
            for end in pair:
                self._close(end.transport)
        self._pairs = {port: pair for port, pair in self._pairs.items() if not pair[0].is_silent}

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._opening:
            task.cancel()
        for pair in self._pairs.values():
            for end in pair:
                self._close(end.transport)

    @staticmethod
    def _close(transport: Any) -> None:
        if transport is not None:
            transport.abort()
