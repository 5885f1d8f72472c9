"""Deletes what is older than is kept; one job of the leader."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from gateway.retention.destinations import Destination
from gateway.retention.errors import ExportFailed
from gateway.retention.periods import DAY, FOR_GOOD, Period, Periods
from gateway.retention.statements import DELETE_EXPORTED, FORGET_TASKS, SQL, TO_EXPORT
from gateway.storage.database import Database

log = logging.getLogger(__name__)

#: Rows that one transaction looks at.
BATCH: Final = 500
#: Pause after each batch, as a multiple of the time that it took: tasks go first.
REST: Final = 3.0
#: Of payloads and results in one exported file.
FILE_BYTES: Final = 16 * 1024 * 1024

_BEGINNING: Final = (datetime(1, 1, 1, tzinfo=UTC), "")


class Retention:
    """`tick` is one pass over everything, the oldest first; a new leader begins anew, and finds only what is left.

    `on_deleted` is told of which table how many rows went.
    """

    def __init__(
        self,
        database: Database,
        periods: Periods,
        destination: Destination | None = None,
        *,
        on_deleted: Callable[[str, int], None] = lambda table, rows: None,
    ) -> None:
        self._db = database
        self._periods = periods
        self._destination = destination
        self._on_deleted = on_deleted

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
                await self._walk(SQL.finished_logs, logs, self._export_logs, FILE_BYTES, only)
            except ExportFailed as error:
                log.error("rows of task_logs stay: %s", error)

    # Private ------------------------------------------------------------------------------------------------

    async def _few(self, table: str, query: str, seconds: float) -> None:
        """Delete batch by batch where no row that is old has to stay."""
        deleted = BATCH
        while deleted == BATCH:
            began = time.monotonic()
            deleted = await self._db.fetchval(query, seconds, BATCH)
            self._on_deleted(table, deleted)
            await _rest(began)

    async def _walk(
        self,
        query: str,
        period: Period,
        carry_out: Callable[[list[asyncpg.Record], Period], Awaitable[None]],
        *more: Any,
    ) -> None:
        """Page by page, oldest first: what has to stay is passed over once."""
        at, last_id = _BEGINNING
        while True:
            began = time.monotonic()
            page = await self._db.fetch(query, at, last_id, BATCH, period.shortest, *more)
            if not page:
                return
            await carry_out(page, period)
            last_id, at = page[-1][0], page[-1][1]
            await _rest(began)

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
        content = "".join(row["line"] + "\n" for row in rows).encode()
        await self._destination.put(_file_name(rows[0]["completed_at"], content), content)
        ids, versions = [row["id"] for row in rows], [row["version"] for row in rows]
        self._on_deleted("task_logs", await self._db.fetchval(DELETE_EXPORTED, ids, *period.arguments, versions))


def _file_name(first: datetime, content: bytes) -> str:
    """Of the same content the same: an export that is repeated writes its file again, and never over another."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"task_logs/{first:%Y/%m/%d}/{first:%H%M%S}-{digest}.ndjson"


async def _rest(began: float) -> None:
    await asyncio.sleep((time.monotonic() - began) * REST)
