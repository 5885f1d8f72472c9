"""How fast what is old is deleted: tasks go first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

#: Seconds that a transaction may take; nobody notices a pause of that length.
GOAL: Final = 0.02
#: Rows of a transaction: of the first one, the least and the most.
FIRST, LEAST, MOST = 50, 10, 500
#: More of them after one that was short.
STEP: Final = 5
#: Rest after each transaction, as a multiple of the time that it took. A task that takes some milliseconds itself meets
#: one in twenty with a rest of 24 (P95 1.7 times as high); with this one it is one in thirty.
REST: Final = 40.0


class Pace:
    """How many `rows` the next transaction takes, and the rest after it.

    As TCP does with its window: a few more after a transaction within the goal, half as many after one that took
    longer, because others work, too, or the disk is slow. The rest is a multiple of what it took, so that all this has
    no more than a fortieth of one connection's time, however slow the server is.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self.rows = FIRST

    def begin(self) -> int:
        """A transaction begins; how many rows it takes."""
        self._began = self._clock()
        return self.rows

    async def rest(self) -> None:
        """It has ended."""
        in_time = self._clock() - self._began <= GOAL
        self.rows = min(self.rows + STEP, MOST) if in_time else max(self.rows // 2, LEAST)
        await self.pause()

    async def pause(self) -> None:
        """The rest after something else than a transaction with so many rows."""
        await self._sleep((self._clock() - self._began) * REST)
