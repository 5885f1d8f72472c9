"""Finds lost workers within a fraction of a second, and hands out what they ran (design §3).

Exactly one gateway does this at a time (`gateway.recovery.leader`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import asyncpg

from backends.errors import EngineError
from backends.port import WorkflowEnginePort, WorkflowRef
from gateway.recovery.host_process import is_alive
from gateway.recovery.lease import LOCK_CLASS, host_identity
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import ChangeNotifier

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "reaper.sql")


#: A renewal is due every three seconds; from here on it is counted how long it stays away (seconds).
LATE_SECONDS = 4.0
#: After a pause between two looks, nobody knows what happened in between: counting begins anew.
GAP_SECONDS = 1.0
#: When this gateway has just come to PostgreSQL, others may still be on their way back to it.
RETURN_SECONDS = 3.0


class Reaper:
    """One `tick` looks at every lease once. Times in seconds: `limit` without renewal, `grace` without lock.

    `losses`: a task under which so many workers in a row were lost is a dead letter; `on_over` says that there is one.
    """

    def __init__(
        self,
        database: Database,
        engines: Mapping[str, WorkflowEnginePort],
        notifier: ChangeNotifier,
        *,
        limit: float,
        grace: float,
        losses: int,
        wake: Callable[[], None],
        on_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = database
        self._engines = engines
        self._notifier = notifier
        self._limit = limit
        self._grace = grace
        self._losses = losses
        self._wake = wake
        self._on_over = on_over
        self._late = min(LATE_SECONDS, limit / 2)
        self._silent: dict[str, tuple[str, float]] = {}
        """The renewal that was seen last, and since when there is no other."""
        self._looked = 0.0
        self._came_at = 0.0
        self._missing: dict[str, float] = {}
        self._requeue: dict[str, WorkflowRef] = {}
        self._requeue_backend: dict[str, str] = {}
        self._release: list[tuple[str, str]] = []
        self._ticks = 0

    async def tick(self) -> None:
        """Declare lost processes lost, and give their tasks back to their engines."""
        self._ticks += 1
        suspects = await self._db.fetch(SQL.suspects, LOCK_CLASS, self._late)
        now = time.monotonic()
        if now - self._looked > GAP_SECONDS:
            self._silent.clear()
            self._missing.clear()
            self._came_at = now
        self._looked = now
        seen = {row["process_id"] for row in suspects}
        self._missing = {key: since for key, since in self._missing.items() if key in seen}
        self._silent = {key: since for key, since in self._silent.items() if key in seen}
        lost = [row for row in suspects if self._is_lost(row)]
        for row in lost:
            await self._bury(row)
        if lost or self._ticks % 10 == 1:
            await self._take_back()
        await self._retry_engines()

    def _is_lost(self, row: asyncpg.Record) -> bool:
        if row["retired"] or self._is_silent(row):
            return True
        if row["locked"] or not row["seen_since_restart"]:
            return False
        now = time.monotonic()
        since = self._missing.setdefault(row["process_id"], now)
        if row["host"] == host_identity():
            # Here the process itself can be asked: only its connection may have been cut.
            return not is_alive(row["pid"])
        grace = self._grace if now - self._came_at > RETURN_SECONDS else max(self._grace, RETURN_SECONDS)
        return now - since >= grace

    def _is_silent(self, row: asyncpg.Record) -> bool:
        """Whether its renewal has stayed away for the limit, on our own clock."""
        now, key = time.monotonic(), row["process_id"]
        renewed, since = self._silent.get(key, ("", now))
        if renewed != row["renewed"]:
            # It has just become late, before our eyes; else the server's clock has jumped, or we were away.
            fresh = 0 <= row["silent"] - self._late < min(GAP_SECONDS, now - self._came_at)
            since = now - row["silent"] if fresh else now
            self._silent[key] = (row["renewed"], since)
        return now - since > self._limit

    async def _bury(self, row: asyncpg.Record) -> None:
        counts = await self._db.fetchrow(SQL.declare_lost, row["process_id"])
        if counts is None or not counts["lost"]:
            return
        if not row["retired"]:
            log.warning("%s %s is lost", row["kind"], row["process_id"])
        if counts["starts"]:
            self._wake()
        if row["kind"] == "worker" and row["backend"] in self._engines:
            self._release.append((row["backend"], row["process_id"]))

    async def _take_back(self) -> None:
        for row in await self._db.fetch(SQL.take_back, self._losses):
            self._notifier.changed(row["task_id"])
            if row["is_over"]:
                log.error("task %s ends: the workers that ran it were lost", row["task_id"])
                self._on_over()
                continue
            ref = WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"])
            self._requeue[ref.task_id] = ref
            self._requeue_backend[ref.task_id] = row["backend"]

    async def _retry_engines(self) -> None:
        """Tell the engines; what one cannot take now is kept for the next tick."""
        for task_id, ref in list(self._requeue.items()):
            engine = self._engines.get(self._requeue_backend[task_id])
            try:
                held = engine is not None and await engine.requeue_workflow(ref, "its worker was lost")
            except EngineError:
                break
            if not held and await self._db.fetchval(SQL.rewait, ref.task_id, ref.epoch):
                self._wake()
            del self._requeue[task_id], self._requeue_backend[task_id]
        for backend, worker_id in list(self._release):
            try:
                await self._engines[backend].release_worker(worker_id)
            except EngineError:
                break
            self._release.remove((backend, worker_id))
