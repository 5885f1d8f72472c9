"""`Turns`: a task that changes its group's graph waits for its turn before its claim, as on the Redis queue.

What has to wait longer than a moment is offered again later. That uses none of its time, attempts and slots.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta

from workers.graph.errors import GroupBusy

#: The tasks of a group that had to wait are offered again one after the other, so far apart (seconds): in the order in
#: which they came, and no more often than that, however many they are. But not sooner, and not later, than this.
SPACING, FIRST, LONGEST = 0.25, 1.0, 60.0
#: Groups that are remembered at most; most are forgotten when their last task has been offered again.
_MOST_GROUPS = 10_000


class Turns:
    """`hold` keeps a group's turn, and raises `GroupBusy` if it does not come soon. `clock` counts seconds."""

    def __init__(
        self,
        hold: Callable[[str], AbstractAsyncContextManager[None]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hold = hold
        self._clock = clock
        self._last: dict[str, float] = {}
        """When the last task of each group is offered again that had to wait."""

    @asynccontextmanager
    async def taken(self, group_id: str) -> AsyncIterator[timedelta | None]:
        """Keep the group's turn while the block runs; or, if the turn has not come, say when to ask again."""
        async with AsyncExitStack() as turn:
            try:
                await turn.enter_async_context(self._hold(group_id))
            except GroupBusy:
                yield self._pause(group_id)
                return
            yield None

    def _pause(self, group_id: str) -> timedelta:
        now = self._clock()
        if len(self._last) >= _MOST_GROUPS:
            self._last = {group: at for group, at in self._last.items() if at > now}
        at = max(self._last.pop(group_id, now) + SPACING, now + FIRST)
        self._last[group_id] = at = min(at, now + LONGEST)
        return timedelta(seconds=at - now)
