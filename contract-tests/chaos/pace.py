"""Spreads tasks over faults, and faults over tasks, so that no fault strikes an idle system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from math import inf

LOOK_SECONDS = 0.05
#: Half of a fault's share of the tasks is sent so soon after its beginning, most of the rest as late again: some are
#: left to send however long the fault takes.
HALF_SECONDS = 3.0
#: More are not sent while so many are open: a machine that is behind would have them all at the end, without faults.
MOST_OPEN = 400


class Pace:
    """Each fault has an equal share of the tasks. What is left of a share is sent during the next one.

    `accepted` counts the tasks that are accepted, `open_tasks` those that are not over; `until` is on the monotonic
    clock: from then on nothing is sent, and no fault begins.
    """

    def __init__(
        self,
        tasks: int,
        faults: int,
        until: float,
        accepted: Callable[[], int],
        open_tasks: Callable[[], float],
        half_seconds: float = HALF_SECONDS,
    ) -> None:
        self._tasks = tasks
        self._faults = faults
        self._until = until
        self._accepted = accepted
        self._open = open_tasks
        self._half = half_seconds
        self._struck = 0
        self._since = time.monotonic()

    @property
    def progress(self) -> float:
        """The part of the tasks that is accepted."""
        return self._accepted() / self._tasks if self._tasks else 1.0

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._until

    async def tasks(self) -> AsyncIterator[int]:
        """The tasks, each when it is to be sent."""
        before = time.monotonic()
        for number in range(self._tasks):
            while (pause := before + self._pause(number) - time.monotonic()) > 0 and not self.is_late:
                await asyncio.sleep(min(pause, LOOK_SECONDS))
            if self.is_late:
                return
            before = time.monotonic()
            yield number

    async def next_fault(self) -> bool:
        """Wait until it may strike; False when the time is up."""
        while self._accepted() < min(self._tasks * (self._struck - 1) // self._faults, self._tasks):
            if self.is_late:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        self._since = time.monotonic()
        return not self.is_late

    def struck(self) -> None:
        """A fault is over."""
        self._struck += 1
        self._since = time.monotonic()

    def _pause(self, sent: int) -> float:
        """Seconds until the next task, when so many are sent."""
        if self._struck >= self._faults:
            return 0.0
        left = self._tasks * (self._struck + 1) / self._faults - sent
        if left <= 0 or self._open() >= MOST_OPEN:
            return inf
        # What is left falls as 1/t: half of it is gone after `half_seconds`, nine tenths after nine times that.
        return (time.monotonic() - self._since + self._half) / left
