"""`WakeListener`: wakes a worker that waits for work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.exceptions import NoPermissionError

from backends.redis_queue import wire

log = logging.getLogger(__name__)

#: Pauses in seconds between tries to reach Redis; at random, so that a fleet spreads out.
BACKOFF = EqualJitterBackoff(cap=2.0, base=0.05)
#: A connection that was silent for so long is checked (seconds).
SILENT_SECONDS = 3.0
REFUSED = "Redis refuses the channel %s to this user: tasks start later; grant '&taskgate:*'"


class WakeListener:
    """Receives messages of the gateway and of workers on the wake channel: a task may be free.

    Legacy producers do not use it, so a waiting worker also looks at the lists from time to time. If the connection is
    lost, tasks are only found later.
    """

    def __init__(self, url: str | Callable[[], str], *, timeout: float) -> None:
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
        failures, is_refused = 0, False
        while True:
            try:
                async with self._open() as client, client.pubsub(ignore_subscribe_messages=True) as channel:
                    async with asyncio.timeout(self._timeout):
                        await channel.subscribe(wire.WAKE)
                    while True:
                        message = await self._hear(channel)
                        failures = 0
                        if message["type"] == "message":
                            self.wake()
            except NoPermissionError:
                if not is_refused:
                    log.warning(REFUSED, wire.WAKE)
                is_refused = True
            except Exception as error:  # noqa: BLE001 - of a URL that cannot be used, too; nobody misses a listener
                log.debug("wake channel lost: %s", type(error).__name__)
            failures += 1
            await asyncio.sleep(BACKOFF.compute(failures))

    def _open(self) -> Redis:
        return Redis.from_url(
            self._url() if callable(self._url) else self._url,
            socket_timeout=None,
            socket_connect_timeout=min(self._timeout, 2.0),
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )

    async def _hear(self, channel: PubSub) -> dict[str, Any]:
        """What comes next; after a while the answer to a question. Raises `TimeoutError` without one."""
        message = await channel.get_message(timeout=SILENT_SECONDS)
        if message is None:
            async with asyncio.timeout(self._timeout):
                await channel.ping()
                message = await channel.get_message(timeout=None)
        return message or {"type": "silence"}
