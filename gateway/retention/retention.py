"""Deletes what is older than is kept; one job of the leader."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from gateway.retention.destinations import Destination
from gateway.retention.errors import ExportFailed
from gateway.retention.pace import Pace
from gateway.retention.periods import DAY, FOR_GOOD, Period, Periods
from gateway.retention.statements import DELETE_EXPORTED, FORGET_TASKS, SQL, TO_EXPORT
from gateway.storage.database import Database

log = logging.getLogger(__name__)

#: Rows of one exported file, and of their payloads and results.
FILE_ROWS: Final = 500
FILE_BYTES: Final = 16 * 1024 * 1024

_BEGINNING: Final = (datetime(1, 1, 1, tzinfo=UTC), "")


class Retention:
    """`tick` is one pass over everything, the oldest first; a new leader begins anew, and finds only what is left.

    `on_deleted` is told of which table how many rows went, after each transaction.
    """

    def __init__(
        self,
        database: Database,
        periods: Periods,
        destination: Destination | None = None,
        *,
        on_deleted: Callable[[str, int], None] = lambda table, rows: None,
        pace: Pace | None = None,
    ) -> None:
        self._db = database
        self._periods = periods
        self._destination = destination
        self._on_deleted = on_deleted
        self._pace = pace or Pace()

    async def tick(self) -> None:
        """Raises `DatabaseUnavailable`."""
        periods = self._periods
        await self._few("idempotency", SQL.forget_keys, periods.idempotency_hours * 3600)
        await self._few("operation", SQL.forget_operations, periods.operations * DAY)
        await self._walk(SQL.old_firings, periods.firings, self._forget_firings)
        await self._walk(SQL.ended, periods.tasks, self._forget_tasks)
        if periods.task_logs is not None and self._destination is not None:
            try:
                logs = periods.task_logs
                only = None if logs.days < FOR_GOOD else list(logs.tenants)
                await self._walk(SQL.finished_logs, logs, self._export_logs, FILE_BYTES, only, rows=FILE_ROWS)
            except ExportFailed as error:
                log.error("rows of task_logs stay: %s", error)

    # Private ------------------------------------------------------------------------------------------------

    async def _few(self, table: str, query: str, seconds: float) -> None:
        """Delete batch by batch where no row that is old has to stay."""
        deleted = rows = 0
        while deleted == rows:
            rows = self._pace.begin()
            deleted = await self._db.fetchval(query, seconds, rows)
            self._on_deleted(table, deleted)
            await self._pace.rest()

    async def _walk(
        self,
        query: str,
        period: Period,
        carry_out: Callable[[list[asyncpg.Record], Period], Awaitable[None]],
        *more: Any,
        rows: int | None = None,
    ) -> None:
        """Page by page, oldest first: what has to stay is passed over once. `rows`: of a page, else the pace's."""
        at, last_id = _BEGINNING
        while True:
            fitting = self._pace.begin()
            page = await self._db.fetch(query, at, last_id, rows or fitting, period.shortest, *more)
            if not page:
                return
            await carry_out(page, period)
            last_id, at = page[-1][0], page[-1][1]
            await self._pace.rest()

    async def _forget_tasks(self, page: list[asyncpg.Record], period: Period) -> None:
        ids = [row["task_id"] for row in page]
        self._on_deleted("dispatch", await self._db.fetchval(FORGET_TASKS, ids, *period.arguments))

    async def _forget_firings(self, page: list[asyncpg.Record], period: Period) -> None:
        schedules, times = [row["schedule_id"] for row in page], [row["fire_at"] for row in page]
        self._on_deleted("firing", await self._db.fetchval(SQL.forget_firings, schedules, times, *period.arguments))

    async def _export_logs(self, page: list[asyncpg.Record], period: Period) -> None:
        assert self._destination is not None
        wanted = [row["id"] for row in page if row["is_wanted"]]
        rows = await self._db.fetch(TO_EXPORT, wanted, *period.arguments) if wanted else []
        if not rows:
            return
        await self._pace.pause()
        content = "".join(row["line"] + "\n" for row in rows).encode()
        await self._destination.put(_file_name(rows[0]["completed_at"], content), content)
        while rows:
            fitting = self._pace.begin()
            some, rows = rows[:fitting], rows[fitting:]
            ids, versions = [row["id"] for row in some], [row["version"] for row in some]
            self._on_deleted("task_logs", await self._db.fetchval(DELETE_EXPORTED, ids, *period.arguments, versions))
            if rows:
                await self._pace.rest()


def _file_name(first: datetime, content: bytes) -> str:
    """Of the same content the same: an export that is repeated writes its file again, and never over another."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"task_logs/{first:%Y/%m/%d}/{first:%H%M%S}-{digest}.ndjson"
