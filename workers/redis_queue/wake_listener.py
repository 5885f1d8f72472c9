"""`WakeListener`: wakes a worker that waits for work."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import NoReturn

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.exceptions import RedisError

from backends.redis_queue import wire

log = logging.getLogger(__name__)

#: Pauses in seconds between tries to reach Redis; at random, so that a fleet spreads out.
BACKOFF = EqualJitterBackoff(cap=2.0, base=0.05)
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class WakeListener:
    """Hears when the gateway, or a worker, says on the wake channel that something may be free to be taken.

    Legacy producers say nothing there, so whoever waits looks by himself from time to time. A connection that is
    lost costs promptness and nothing else.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Until it is woken (or was since the last wait), at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def listen(self) -> NoReturn:
        """Wake for each message on the channel, reconnecting for ever."""
        failures = 0
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
                        failures = 0
                        self.wake()
            except (RedisError, OSError) as error:
                log.debug("wake channel lost: %s", type(error).__name__)
            finally:
                await client.aclose()
            failures += 1
            await asyncio.sleep(BACKOFF.compute(failures))
