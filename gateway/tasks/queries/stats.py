"""Counts over the tasks that a caller sees (contract §2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from gateway.access.placement import Caller
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.shared_counts import SharedCounts
from gateway.tasks.queries.task_row import Status

SQL = Queries("gateway.tasks.queries", "stats.sql")

#: Conditions on a row `t` of `task_logs`: each row has one of them, and each of them an index by time.
PARTS: Final = dict(
    zip(
        ("open", "completed", "failed", "stopped", "odd"),
        (line for line in SQL.parts.splitlines() if not line.startswith("--")),
        strict=True,
    )
)
BY_TIME: Final = f"({' UNION ALL '.join(f'SELECT * FROM task_logs t WHERE {part}' for part in PARTS.values())})"

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)

#: Points of the queue depth: one every three hours, the newest is now.
_POINTS = 9
_POINT_DISTANCE = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class TaskStats:
    """`GET /stats`. `total` and `completed`: created in the last 24 h; `pending` and `processing`: now; `failed`: ended
    in the last hour; `throughput_per_minute`: completed in the last hour / 60; `error_rate`: percent of 24 h."""

    total: int
    pending: int
    processing: int
    completed: int
    failed: int
    throughput_per_minute: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class QueueDepthPoint:
    """How many tasks were created and not yet ended at a time, `HH:MM` in UTC."""

    timestamp: str
    depth: int


class TaskStatistics:
    """Counts tasks. Every method raises `DatabaseUnavailable`.

    Dashboards ask for the same counts again and again. A count of `many` tasks or more is therefore kept in memory for
    ten times as long as it took, at most `longest_age` seconds. After that it is counted again. Who asks meanwhile gets
    the last count, unless that is older than `stale` seconds, so that nobody waits while a million tasks are counted.
    For `warm` seconds after the last request, large counts are repeated in the background, if that costs little. A
    smaller count is kept, for ten times as long as it took, only if it took long twice in a row (`SLOW`): what others
    ended meanwhile is read for it, too. Callers who see the same tasks and ask at the same time share one query.
    """

    def __init__(
        self,
        database: Database,
        *,
        many: int = 5000,
        longest_age: float = 2.0,
        stale: float = 15.0,
        warm: float = 300.0,
    ) -> None:
        self._db = database
        self._shared = SharedCounts(many=many, longest_age=longest_age, stale=stale, warm=warm)

    def close(self) -> None:
        """Count nothing in the background any more."""
        self._shared.close()

    async def stats(self, caller: Caller) -> TaskStats:
        day, unfinished, hour = await asyncio.gather(
            self._count("created_since", caller, _DAY),
            self._count("unfinished", caller, _DAY),
            self._count("completed_since", caller, _HOUR),
        )
        created = {record["status"]: record["tasks"] for record in day}
        open_now = {record["status"]: record["tasks"] for record in unfinished}
        ended = {record["status"]: record["tasks"] for record in hour}
        total = sum(created.values())
        return TaskStats(
            total=total,
            pending=open_now.get(Status.PENDING, 0),
            processing=open_now.get(Status.PROCESSING, 0),
            completed=created.get(Status.COMPLETED, 0),
            failed=ended.get(Status.FAILED, 0),
            throughput_per_minute=ended.get(Status.COMPLETED, 0) / 60,
            error_rate=100 * created.get(Status.FAILED, 0) / total if total else 0.0,
        )

    async def status_breakdown(self, caller: Caller) -> dict[str, int]:
        """Tasks created in the last 24 h, by shown status."""
        day, unfinished = await asyncio.gather(
            self._count("created_since", caller, _DAY), self._count("unfinished", caller, _DAY)
        )
        created = {record["status"]: record["tasks"] for record in day}
        recent = {record["status"]: record["recent"] for record in unfinished}
        return {
            "Completed": created.get(Status.COMPLETED, 0),
            "Processing": recent.get(Status.PROCESSING, 0),
            "Failed": created.get(Status.FAILED, 0),
            "Pending": recent.get(Status.PENDING, 0),
        }

    async def queue_depth(self, caller: Caller) -> list[QueueDepthPoint]:
        """The depth at nine points over the last 24 h, oldest first; no database time passes between them."""

        async def count() -> tuple[list[QueueDepthPoint], int]:
            now = datetime.now(UTC)
            points = [now - _POINT_DISTANCE * back for back in reversed(range(_POINTS))]
            records = await self._fetch("depth", caller, points, points[0])
            depths = [0] * _POINTS
            for record in records:
                end = _POINTS if record["completed"] is None else record["completed"]
                for point in range(record["created"], end):
                    depths[point] += record["tasks"]
            named = zip(points, depths, strict=True)
            return [QueueDepthPoint(point.strftime("%H:%M"), depth) for point, depth in named], _weight(records)

        return await self._shared.get(("depth", _scope(caller)), count)

    async def _count(self, what: str, caller: Caller, window: timedelta) -> list[asyncpg.Record]:
        return await self._shared.get(
            (what, _scope(caller), window), lambda: self._count_since(what, caller, datetime.now(UTC) - window)
        )

    async def _count_since(self, what: str, caller: Caller, since: datetime) -> tuple[list[asyncpg.Record], int]:
        records = await self._fetch(what, caller, since, since)
        return records, _weight(records)

    async def _fetch(self, what: str, caller: Caller, window: Any, since: datetime) -> list[asyncpg.Record]:
        if caller.is_admin:
            return await self._db.fetch(getattr(SQL, f"{what}_all").replace("/*rows*/", BY_TIME), window)
        if not caller.tenant_ids:
            return []
        query = getattr(SQL, f"{what}_of_tenants").replace("/*open*/", SQL.open)
        arguments = [window, sorted(caller.tenant_ids)]
        if "/*owned*/" in query:
            query = query.replace("/*owned*/", SQL.owned)
            arguments.append(since)
        return await self._db.fetch(query, *arguments)


def _weight(records: list[asyncpg.Record]) -> int:
    """How many tasks were counted."""
    return sum(record["tasks"] for record in records)


def _scope(caller: Caller) -> frozenset[str] | None:
    """Callers of the same scope see the same tasks; None is everything."""
    return None if caller.is_admin else caller.tenant_ids
