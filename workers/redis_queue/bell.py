"""`Bell`: wakes a worker that waits for work."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import NoReturn

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backends.redis_queue import wire
from workers.redis_queue.backoff import Backoff

log = logging.getLogger(__name__)

_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class Bell:
    """Rings when the gateway, or a worker, says on the wake channel that something may be free to be taken.

    Legacy producers say nothing there, so whoever waits looks by himself from time to time. A connection that is
    lost costs promptness and nothing else.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Until it rings (or rang since the last wait), at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()

    async def listen(self) -> NoReturn:
        """Ring for each message on the channel, reconnecting for ever."""
        backoff = Backoff()
        while True:
            client = Redis.from_url(
                self._url,
                socket_timeout=None,
                socket_connect_timeout=min(self._timeout, 2.0),
                socket_keepalive=True,
                socket_keepalive_options=_KEEPALIVE,
                retry=Retry(NoBackoff(), 0),
            )
            try:
                async with client.pubsub() as channel:
                    async with asyncio.timeout(self._timeout):
                        await channel.subscribe(wire.WAKE)
                    async for _ in channel.listen():
                        backoff.reset()
                        self.ring()
            except (RedisError, OSError) as error:
                log.debug("wake channel lost: %s", type(error).__name__)
            finally:
                await client.aclose()
            await asyncio.sleep(backoff.next())
