"""A small table that every gateway holds in memory: read when a change is announced, and now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from backends.errors import TaskgateError
from gateway.observability.error_text import message_of
from gateway.storage.driver_errors import DRIVER_ERRORS
from gateway.storage.listener import Listener

#: Seconds between two looks at the table that nobody asked for: they catch what a lost connection or a transaction
#: pooler (which passes no LISTEN) kept from being heard.
POLL_SECONDS: Final = 5.0
#: Longest time that `start` waits for the first look (seconds).
START_SECONDS: Final = 1.0


class FollowedTable:
    """Calls `look` when something is announced on the channel, and every `poll` seconds; `failed` when that failed.

    `failed` is given the reason, in one line. Both run on the event loop, in a task between `start` and `close`.
    """

    def __init__(
        self,
        listener: Listener,
        channel: str,
        look: Callable[[], Awaitable[None]],
        failed: Callable[[str], None],
        *,
        poll: float,
    ) -> None:
        self._listener = listener
        listener.subscribe(channel, self.wake, missed=self.wake)
        self._name = channel
        self._look = look
        self._failed = failed
        self._poll = poll
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to follow the table; returns after `START_SECONDS` at the latest, whether it could be read or not."""
        self._listener.start()
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name=self._name)
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._looked.wait()
            except TimeoutError:
                self._failed("it could not be read in time")

    async def close(self) -> None:
        self.wake_in(None)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            try:
                async with asyncio.timeout(self._poll):
                    await self._look()
            except (TaskgateError, OSError, *DRIVER_ERRORS, ValueError) as error:
                self._failed(message_of(error))
            self._looked.set()
            await self._pause()

    async def _pause(self) -> None:
        # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
        try:
            async with asyncio.timeout(self._poll):
                await self._wake.wait()
        except TimeoutError:
            return

    def wake(self, _payload: str = "") -> None:
        """Look soon."""
        self._wake.set()

    def wake_in(self, seconds: float | None) -> None:
        """Look at that time, too, in place of the time that was given before; None: there is none."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.wake)
