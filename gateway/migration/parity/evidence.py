"""`Evidence`: what ended on which engine, each run and each death counted once, in order (docs/parity.md).

Whatever ends a run leaves a mark in its own statement (a partial index), so that it costs no round trip. The leader
then counts what is marked (`Recorder`, `recorder.py`); readers follow the positions. A yes/no question that an outcome
does not answer is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import asyncpg

from gateway.access.placement import Tier
from gateway.migration.parity.histogram import Histogram, bucket_of
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.migration.parity", "evidence.sql")

#: Outcomes in one page of `Evidence.since`.
PAGE: Final = 1000
#: What ended at the same time ended in the same block of so much time.
BLOCK: Final = timedelta(minutes=10)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that ended, or a task that failed for good. Times are the database's, durations are seconds.

    `failed` is answered once per task, by the first run that completes or fails. `retried` (did a run fail before the
    last one?) and `dead` are answered when the task is over, but not by one that failed on another engine before. A
    lost worker, a stop and a run that was handed back answer nothing: they say nothing about the engine that would hold
    for the next task too. `died`: it failed for good, whether that is an answer or not.
    """

    position: int
    at: datetime
    counted_at: datetime
    task_id: str
    attempt: int
    tenant_id: str | None
    tier: Tier
    task_type: str
    backend: str
    failed: bool | None
    retried: bool | None
    dead: bool | None
    died: bool
    worker_lost: bool
    run_seconds: float | None
    """Of a completed run."""
    wait_seconds: float | None
    """Of a first run: from when the task might begin until it did."""
    total_seconds: float | None
    """Of a completed task that nobody had to redrive: from when it might begin to its end."""
    late_seconds: float | None
    """Of a schedule's task: how long after its time it began."""


@dataclass(frozen=True, slots=True)
class Page:
    """`cursor`: give it to `since` for what comes next. `is_last`: nothing was left when it was read."""

    outcomes: Sequence[Outcome]
    cursor: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums of outcomes: of a tenant or of everybody, of one task type on one engine, in a window of time. Can be
    added."""

    ended: int = 0
    """Runs."""
    lost: int = 0
    """Runs whose worker was lost."""
    first: int = 0
    """Answers to `failed`."""
    failed: int = 0
    over: int = 0
    """Answers to `retried` and `dead`."""
    retried: int = 0
    dead: int = 0
    attempts: int = 0
    """Of the tasks that are over."""
    run: Histogram = field(default_factory=Histogram)
    wait: Histogram = field(default_factory=Histogram)
    total: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)

    NUMBERS: ClassVar = ("ended", "lost", "first", "failed", "over", "retried", "dead", "attempts")
    HISTOGRAMS: ClassVar = ("run", "wait", "total", "late")

    @classmethod
    def of(cls, several: Sequence[Counts]) -> Counts:
        """What these come to."""
        return cls(
            *(sum(getattr(one, name) for one in several) for name in cls.NUMBERS),
            *(Histogram.of(getattr(one, name) for one in several) for name in cls.HISTOGRAMS),
        )

    def __add__(self, other: Counts) -> Counts:
        return self.of([self, other])

    def slow_bucket(self, tolerance: float, least: float) -> int | None:
        """The bucket of 90th percentile × tolerance, but `least` seconds more at least: what lies beyond it is slow.
        None without a completed run."""
        edge = self.run.quantile(0.9)
        return None if edge is None else bucket_of(max(edge * tolerance, edge + least))

    def slower(self, bucket: int | None) -> int:
        """How many completed runs lie beyond this bucket, of `len(run)`."""
        return 0 if bucket is None else self.run.above(bucket)


@dataclass(frozen=True, slots=True)
class Slice:
    """The counts of one slice of time, which begins at `at`. `tenant_id` None: of tasks without a tenant, or of
    everybody."""

    tenant_id: str | None
    task_type: str
    backend: str
    at: datetime
    counts: Counts


class Evidence:
    """Reads what was counted. Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def newest(self) -> tuple[int, datetime]:
        """The newest position (0: none yet), and the database's time."""
        row = await self._db.fetchrow(SQL.newest)
        assert row is not None
        return row["position"], row["at"]

    async def since(self, cursor: int, *, limit: int = PAGE) -> Page:
        """The next outcomes after this position, in order. Whoever asks twice gets the same; none is put in between
        later."""
        rows = await self._db.fetch(SQL.since, cursor, limit)
        outcomes = [_outcome(row) for row in rows]
        return Page(outcomes, outcomes[-1].position if outcomes else cursor, len(outcomes) < limit)

    async def slices(self, tenant_id: str | None, start: datetime, end: datetime) -> list[Slice]:
        """The slices of a tenant that begin in this window, by time."""
        return [_slice(row) for row in await self._db.fetch(SQL.slices, tenant_id or "", start, end, False)]

    async def newest_slices(self, tenant_id: str, start: datetime, end: datetime, *, each: int) -> list[Slice]:
        """The same, but of each task type on each engine the newest only, so many."""
        return [_slice(row) for row in await self._db.fetch(SQL.newest_slices, tenant_id, start, end, each)]

    async def slices_of_everybody(self, start: datetime, end: datetime) -> list[Slice]:
        """The same, of all tenants together."""
        return [_slice(row) for row in await self._db.fetch(SQL.slices, "", start, end, True)]

    async def slices_beside(self, slices: Sequence[Slice], backend: str, start: datetime) -> list[Slice]:
        """Everybody's slices on this engine since `start`, of the same task types in the same blocks as these."""
        blocks = {(one.task_type, one.at - (one.at - _EPOCH) % BLOCK) for one in slices}
        types, times = [name for name, _ in blocks], [at for _, at in blocks]
        rows = await self._db.fetch(SQL.slices_beside, types, times, BLOCK.total_seconds(), backend, start)
        return [_slice(row) for row in rows]


def _outcome(row: asyncpg.Record) -> Outcome:
    fields = dict(row)
    return Outcome(tier=Tier.of_plan(fields.pop("plan")), **fields)


def _slice(row: asyncpg.Record) -> Slice:
    fields = dict(row)
    where = (fields.pop("tenant_id") or None, fields.pop("task_type"), fields.pop("backend"), fields.pop("slice_at"))
    histograms = {name: Histogram(fields.pop(name)) for name in ("run", "wait", "total", "late")}
    return Slice(*where, Counts(**{**fields, **histograms}))
