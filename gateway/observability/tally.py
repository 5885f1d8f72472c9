"""`Tally`: the leader counts begins and ends of all runs and tasks, wherever they happened, once.

They are read from the times in `taskgate.dispatch`, window by window; how far is recorded in the same transaction, so
that the next leader goes on there. The counters of all gateways together are right: sum them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from gateway.observability.task_metrics import TaskMetrics
from gateway.storage.database import Database
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.observability", "tally.sql")

#: How late outcomes are counted (seconds): longer than any statement that may still write one.
LATE_SECONDS: Final = 10.0
#: Longest window of one look (seconds), and how far back a new leader begins at most.
WINDOW_SECONDS: Final = 60.0
LOOK_BACK_SECONDS: Final = 3600.0
#: So many rows are counted before the event loop gets a turn.
_AT_ONCE = 500


class Tally:
    """`database` is the leader's. Whoever merges ends that others wrote has `lock` meanwhile."""

    def __init__(self, database: Database, metrics: TaskMetrics, *, late_seconds: float = LATE_SECONDS) -> None:
        self._db = database
        self._metrics = metrics
        self._late_seconds = late_seconds
        self.lock = asyncio.Lock()

    async def tick(self) -> None:
        """Count what is new. Raises `DatabaseUnavailable`."""
        async with self.lock:
            while await self._count_window():
                pass

    async def count_late(self, task_ids: Sequence[str]) -> None:
        """These tasks were ended by merging what a legacy worker wrote, perhaps long ago. The caller has `lock`."""
        if task_ids:
            for row in await self._db.fetch(SQL.late, task_ids):
                self._metrics.ended(row)

    async def _count_window(self) -> bool:
        """Returns whether there is a next one."""
        async with self._db.transaction() as db:
            window = await db.fetchrow(SQL.take, self._late_seconds, WINDOW_SECONDS, LOOK_BACK_SECONDS)
            assert window is not None
            bounds = window["since"], window["counted_to"]
            began = await db.fetch(SQL.began, *bounds)
            ended = await db.fetch(SQL.ended, *bounds)
            await db.execute(SQL.forget, window["counted_to"])
        # From here on they are counted: the next leader does not see them again.
        for number, (count, row) in enumerate(
            [*((self._metrics.began, row) for row in began), *((self._metrics.ended, row) for row in ended)], 1
        ):
            count(row)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return bool(window["is_more"])
