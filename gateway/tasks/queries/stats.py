"""Counts over the tasks that a caller sees (contract §2)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg

from gateway.access.placement import Caller
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.task_row import Status

SQL = Queries("gateway.tasks.queries", "stats.sql")

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)

_T = TypeVar("_T")

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
    smaller count is never kept. Callers who see the same tasks and ask at the same time share one query.
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
        self._shared = _Shared(many=many, longest_age=longest_age, stale=stale, warm=warm)

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
            return await self._db.fetch(getattr(SQL, f"{what}_all").replace("/*rows*/", SQL.by_time), window)
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


class _Shared:
    """One computation at a time per key, and a short memory of the large ones."""

    _LARGEST = 1000
    #: Part of the time that one count in the background may take.
    _SHARE = 0.05

    def __init__(self, *, many: int, longest_age: float, stale: float, warm: float) -> None:
        self._many = many
        self._longest_age = longest_age
        self._stale = stale
        self._warm = warm
        self._asked: dict[Any, float] = {}
        self._timers: dict[Any, asyncio.TimerHandle] = {}
        self._running: dict[Any, asyncio.Task[Any]] = {}
        self._kept: OrderedDict[Any, tuple[float, list[Any]]] = OrderedDict()

    async def get(self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]]) -> list[_T]:
        """The value of `compute`, which says beside it how much was counted."""
        until, kept = self._kept.get(key, (0.0, []))
        now = self._asked[key] = time.monotonic()
        if now < until:
            return kept
        task = self._start(key, compute)
        if now < until + self._stale and key in self._kept:
            return kept
        # Shielded: a caller that is cancelled does not cancel the others.
        shared: list[_T] = await asyncio.shield(task)
        return shared

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._warm = 0.0

    def _start(self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]]) -> asyncio.Task[Any]:
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(self._compute(key, compute))
            self._running[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return task

    def _forget(self, key: Any, done: asyncio.Task[Any]) -> None:
        del self._running[key]
        if key not in self._kept:
            self._asked.pop(key, None)
        if not done.cancelled():
            done.exception()  # all callers may have been cancelled

    def _keep_warm(
        self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]], ended: float, took: float
    ) -> None:
        """Count again before the count is too old, while somebody may ask and it costs little."""
        pause = self._stale * 0.8
        if ended - self._asked.get(key, 0.0) > self._warm or took > pause * self._SHARE:
            return
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()

        def again() -> None:
            del self._timers[key]
            self._start(key, compute)

        self._timers[key] = asyncio.get_running_loop().call_later(pause, again)

    async def _compute(self, key: Any, compute: Callable[[], Awaitable[tuple[list[_T], int]]]) -> list[_T]:
        started = time.monotonic()
        value, weight = await compute()
        ended = time.monotonic()
        if weight >= self._many:
            self._kept[key] = (ended + min(10 * (ended - started), self._longest_age), value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._LARGEST:
                self._asked.pop(self._kept.popitem(last=False)[0], None)
            self._keep_warm(key, compute, ended, ended - started)
        else:
            self._kept.pop(key, None)
        return value
