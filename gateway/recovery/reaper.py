"""Finds lost workers within a fraction of a second, and takes their tasks back.

Exactly one gateway does this at a time (`gateway.recovery.leader`). Between two looks it only remembers since when each
process is silent; a new leader starts to count again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import asyncpg

from gateway.recovery.host_process import is_alive
from gateway.recovery.lease import LOCK_CLASS, host_identity
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import ChangeNotifier

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "reaper.sql")

#: A renewal is due every three seconds. After this time without one, the reaper watches the process (seconds).
LATE_SECONDS = 4.0
#: After a longer gap between two looks, counting starts again, because renewals may have been missed (seconds).
GAP_SECONDS = 1.0
#: When this gateway has just reconnected to PostgreSQL, others may still be about to (seconds).
RETURN_SECONDS = 3.0
#: At every tenth tick, look for runs that a process began while it was declared lost.
TAKE_BACK_EVERY = 10
#: Tasks that are taken back in one transaction, so that it takes a fraction of what a statement may take.
BATCH = 1000
#: So long are they taken back at one tick (seconds): a longer gap between two looks would begin all counting anew.
BACK_SECONDS = GAP_SECONDS / 2


class Reaper:
    """One `tick` looks at every lease once. Times in seconds: `limit` without renewal, `grace` without lock.

    Engines are not called here: messages to them are duties (`gateway.recovery.duties`), and `on_duty` is called when
    there are new ones. `on_lost` is told kind and backend of each lost process. `losses`: a task of which so many
    workers in a row were lost becomes a dead letter.
    """

    def __init__(
        self,
        database: Database,
        notifier: ChangeNotifier,
        *,
        limit: float,
        grace: float,
        losses: int,
        wake: Callable[[], None],
        on_duty: Callable[[], None],
        on_lost: Callable[[str, str | None], None] = lambda kind, backend: None,
    ) -> None:
        self._db = database
        self._notifier = notifier
        self._limit = limit
        self._grace = grace
        self._losses = losses
        self._wake = wake
        self._on_duty = on_duty
        self._on_lost = on_lost
        self._late = min(LATE_SECONDS, limit / 2)
        self._silent: dict[str, tuple[str, float]] = {}
        """The last renewal that was seen, and since when there was no newer one."""
        self._looked = 0.0
        self._came_at = 0.0
        self._missing: dict[str, float] = {}
        self._ticks = 0
        self._has_more = False
        """There may be something to take back."""

    async def tick(self) -> None:
        """Declare processes lost, and record the duties for their engines. Raises `DatabaseUnavailable`."""
        self._ticks += 1
        suspects = await self._db.fetch(SQL.suspects, LOCK_CLASS, self._late)
        now = time.monotonic()
        if now - self._looked > GAP_SECONDS:
            self._silent.clear()
            self._missing.clear()
            self._came_at = now
            self._has_more = True  # whoever led until now may have left something
        self._looked = now
        seen = {row["process_id"] for row in suspects}
        self._missing = {key: since for key, since in self._missing.items() if key in seen}
        self._silent = {key: since for key, since in self._silent.items() if key in seen}
        lost = [row for row in suspects if self._is_lost(row)]
        self._has_more = self._has_more or bool(lost) or self._ticks % TAKE_BACK_EVERY == 1
        if lost:
            await self._declare_lost(lost)
        if self._has_more:
            await self._take_back()
        if lost:
            self._on_duty()  # now their releases are valid

    def _is_lost(self, row: asyncpg.Record) -> bool:
        if row["retired"] or self._is_silent(row):
            return True
        if row["locked"] or not row["seen_since_restart"]:
            return False
        now = time.monotonic()
        since = self._missing.setdefault(row["process_id"], now)
        if row["host"] == host_identity():
            # It runs on this host, so it can be checked: perhaps only its connection was cut.
            return not is_alive(row["pid"])
        grace = self._grace if now - self._came_at > RETURN_SECONDS else max(self._grace, RETURN_SECONDS)
        return now - since >= grace

    def _is_silent(self, row: asyncpg.Record) -> bool:
        """Whether there was no renewal for the limit, by our own clock."""
        now, key = time.monotonic(), row["process_id"]
        renewed, since = self._silent.get(key, ("", now))
        if renewed != row["renewed"]:
            # It has become late while we looked; otherwise the server's clock has jumped, or we were away.
            fresh = 0 <= row["silent"] - self._late < min(GAP_SECONDS, now - self._came_at)
            since = now - row["silent"] if fresh else now
            self._silent[key] = (row["renewed"], since)
        return now - since > self._limit

    async def _declare_lost(self, lost: Sequence[asyncpg.Record]) -> None:
        """Committed before their runs are taken back: what comes in the way of that does not make them alive again."""
        done = await self._db.fetchrow(SQL.declare_lost, [row["process_id"] for row in lost])
        assert done is not None
        declared = set(done["lost"])
        for row in lost:
            if row["process_id"] in declared and not row["retired"]:
                log.warning("%s %s is lost", row["kind"], row["process_id"])
                self._on_lost(row["kind"], row["backend"])
        if done["starts"]:
            self._wake()

    async def _take_back(self) -> None:
        """Their tasks, with the duties for their engines. What is left waits for the next tick."""
        began = time.monotonic()
        while True:
            back = await self._db.fetch(SQL.take_back, self._losses, BATCH)
            self._has_more = bool(back)  # a full batch may come back smaller: some ended while it waited for their rows
            for task in back:
                self._notifier.changed(task["task_id"])
                if task["is_over"]:
                    log.error("task %s ends: the workers that ran it were lost", task["task_id"])
            if back:
                self._on_duty()
            if not self._has_more or time.monotonic() - began >= BACK_SECONDS:
                return
