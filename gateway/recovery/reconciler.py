"""Merges changes that legacy workers and people made to `task_logs`.

One `tick` is one comparison; exactly one gateway does this at a time (`gateway.recovery.leader`).
"""

from __future__ import annotations

from collections.abc import Mapping

from backends.port import Capability, WorkflowEnginePort
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import STOP_CHANNEL, ChangeNotifier

SQL = Queries("gateway.recovery", "reconciler.sql")

#: How far the quick comparison looks back (seconds); the complete one runs every `FULL_EVERY` ticks.
RECENT = 15.0
FULL_EVERY = 10
#: Look for deleted rows at every second tick.
ROWLESS_EVERY = 2


class Reconciler:
    """Compares `taskgate.dispatch` and `task_logs`, and merges the differences."""

    def __init__(self, database: Database, engines: Mapping[str, WorkflowEnginePort], notifier: ChangeNotifier) -> None:
        self._db = database
        self._notifier = notifier
        self._unfenced = [n for n, e in engines.items() if Capability.FENCED not in e.capabilities]
        self._ticks = 0

    async def tick(self) -> None:
        """One comparison. Raises `DatabaseUnavailable`."""
        full = self._ticks % FULL_EVERY == 0
        self._ticks += 1
        look_back = None if full else RECENT
        changed: list[str] = []
        if self._unfenced:
            for query in (SQL.merge_started, SQL.merge_ended):
                changed += [r["task_id"] for r in await self._db.fetch(query, self._unfenced, look_back)]
            changed += [r["task_id"] for r in await self._db.fetch(SQL.merge_recovered, self._unfenced)]
        changed += [r["task_id"] for r in await self._db.fetch(SQL.restore_stopped)]
        changed += [r["task_id"] for r in await self._db.fetch(SQL.restore_completed, full)]
        if full or self._ticks % ROWLESS_EVERY == 0:
            for row in await self._db.fetch(SQL.drop_rowless):
                changed.append(row["task_id"])
                await self._db.execute("SELECT pg_notify($1, $2)", STOP_CHANNEL, row["task_id"])
        for task_id in changed:
            self._notifier.changed(task_id)
