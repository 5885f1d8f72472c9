"""Merges changes that legacy workers and people made to `task_logs`.

One `tick` is one comparison; exactly one gateway does this at a time (`gateway.recovery.leader`).
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from backends.port import Capability, WorkflowEnginePort
from backends.redis_queue.wire import TYPES
from gateway.errors import DatabaseUnavailable
from gateway.pacing.throttle import Throttle
from gateway.storage.database import Database
from gateway.storage.driver_errors import was_cut_short
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import STOP_CHANNEL, ChangeNotifier

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "reconciler.sql")

#: How far the quick comparison looks back (seconds); the complete one runs every `FULL_EVERY` ticks.
RECENT = 15.0
FULL_EVERY = 10
#: Look for deleted rows at every second tick.
ROWLESS_EVERY = 2
#: Some comparisons read all tasks that engines hold, or all that were stopped in two hours: longest rest (seconds).
LONGEST_REST = 30.0
#: Legacy recovery puts back what lasts longer than its type's limit, within a minute. Rebuilds it never puts back (R5):
#: such a run may still go on, so a day has to pass.
STALLED_SECONDS = 120.0
_DAY = 24 * 3600.0
_STALLED = {
    name: _DAY if one.group_key != "group_id" else one.timeout.total_seconds() + STALLED_SECONDS
    for name, one in TYPES.items()
}


async def _nobody(task_ids: Sequence[str]) -> None:
    """Nobody wants to know."""


class Reconciler:
    """Compares `taskgate.dispatch` and `task_logs`, and merges the differences.

    `on_corrected` is told what was wrong, and of how many tasks; `on_ended` which tasks a legacy worker has ended.
    """

    def __init__(
        self,
        database: Database,
        engines: Mapping[str, WorkflowEnginePort],
        notifier: ChangeNotifier,
        *,
        on_corrected: Callable[[str, int], None] = lambda what, tasks: None,
        on_ended: Callable[[Sequence[str]], Awaitable[None]] = _nobody,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._notifier = notifier
        self._unfenced = [n for n, e in engines.items() if Capability.FENCED not in e.capabilities]
        self._on_corrected = on_corrected
        self._on_ended = on_ended
        self._ticks = 0
        # Of each comparison, and of a complete one: a hundred thousand may wait in Redis.
        self._throttles = defaultdict[tuple[str, bool], Throttle](lambda: Throttle(longest=LONGEST_REST, clock=clock))

    async def tick(self) -> None:
        """One comparison. Raises `DatabaseUnavailable`."""
        full = self._ticks % FULL_EVERY == 0
        self._ticks += 1
        changed: list[str] = []

        async def merge(what: str, query: str, *values: object) -> list[str]:
            throttle = self._throttles[query, full]
            if throttle.rest > 0:
                return []
            try:
                with throttle.look():
                    ids = [row["task_id"] for row in await self._db.fetch(query, *values)]
            except DatabaseUnavailable as error:
                if not was_cut_short(error):
                    raise
                log.warning("what %s is not found out: %s", what, type(error.__cause__).__name__)
                throttle.give_up()
                return []
            self._on_corrected(what, len(ids))
            changed.extend(ids)
            return ids

        try:
            await self._merge_all(merge, full)
        finally:
            for task_id in changed:
                self._notifier.changed(task_id)

    async def _merge_all(self, merge: Callable[..., Awaitable[list[str]]], full: bool) -> None:
        """All comparisons; one that is cut off keeps none of the others from its turn."""
        look_back = None if full else RECENT
        if self._unfenced:
            await merge("began", SQL.merge_started, self._unfenced, look_back)
            await self._on_ended(await merge("ended", SQL.merge_ended, self._unfenced, look_back))
            await merge("recovered", SQL.merge_recovered, self._unfenced)
            if full:
                await merge("recovered", SQL.take_back_stalled, self._unfenced, list(_STALLED), list(_STALLED.values()))
        await merge("stopped", SQL.restore_stopped)
        await merge("completed", SQL.restore_completed, full)
        if full or self._ticks % ROWLESS_EVERY == 0:
            for task_id in await merge("deleted", SQL.drop_rowless):
                await self._db.execute("SELECT pg_notify($1, $2)", STOP_CHANNEL, task_id)
