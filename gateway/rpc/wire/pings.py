"""Signs of life: pings of a quiet client, and answers to its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.rpc.wire import frames
from gateway.rpc.wire.frames import WireError

log = logging.getLogger(__name__)

#: A client that pings sooner than this (seconds), so often in a row, is told to go away.
_QUICKEST, _MOST = 10.0, 3


class Pings:
    """Of one connection. `keepalive` and `timeout` in seconds; `give_up` is called when a client does not answer."""

    def __init__(
        self, write: Callable[[bytes], None], give_up: Callable[[], None], keepalive: float, timeout: float
    ) -> None:
        self._write = write
        self._give_up = give_up
        self._keepalive = keepalive
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._taken_at = float("-inf")
        self._quick = 0
        self._alarm = self._loop.call_later(keepalive, self._look)
        self.heard_at = self._loop.time()
        """When anything came last."""

    def take(self, flags: int, payload: bytes) -> None:
        """A ping of the client. Raises `WireError`."""
        if len(payload) != 8:
            raise WireError(frames.FRAME_SIZE_ERROR)
        if flags & frames.ACK:
            return
        now = self._loop.time()
        self._quick = self._quick + 1 if now - self._taken_at < _QUICKEST else 0
        self._taken_at = now
        if self._quick > _MOST:
            raise WireError(frames.ENHANCE_YOUR_CALM, "too_many_pings")
        self._write(frames.frame(frames.PING, frames.ACK, 0, payload))

    def forgive(self) -> None:
        """There is something to ping about: clients measure the way of their data."""
        self._quick = 0

    def stop(self) -> None:
        self._alarm.cancel()

    def _look(self) -> None:
        quiet = self._loop.time() - self.heard_at
        if quiet >= self._keepalive + self._timeout:
            log.debug("a gRPC client does not answer pings")
            self._give_up()
            return
        if quiet >= self._keepalive:
            self._write(frames.frame(frames.PING, 0, 0, bytes(8)))
        after = self._timeout if quiet >= self._keepalive else self._keepalive - quiet
        self._alarm = self._loop.call_later(max(after, 0.001), self._look)
