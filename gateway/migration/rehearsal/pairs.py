"""Probes beside the runs of their tasks on Redis: what was measured on both backends for the same task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import quantiles

from gateway.migration.rehearsal.probe_outcomes import OUTCOMES
from gateway.migration.rehearsal.probes import KEPT, SQL
from gateway.storage.database import Database


@dataclass(frozen=True, slots=True)
class ProbedTask:
    """One task, probed on Temporal and run on Redis. Seconds; None: unknown, or not over.

    `run_seconds` is that of `rehearse`, not of the task: only `queue_seconds` compares with `redis_queue_seconds`.
    """

    task_id: str
    tenant_id: str
    task_type: str
    queue: str
    sent_at: datetime
    outcome: str
    detail: str
    queue_seconds: float | None
    decode_seconds: float | None
    run_seconds: float | None
    worker_id: str | None
    redis_queue_seconds: float | None
    redis_run_seconds: float | None

    @property
    def went_well(self) -> bool:
        return OUTCOMES[self.outcome] is None


async def probed_tasks(database: Database, tenant_id: str | None, since: datetime) -> list[ProbedTask]:
    """The newest, of this tenant or of all. Raises `DatabaseUnavailable`."""
    return [ProbedTask(**row) for row in await database.fetch(SQL.pairs, tenant_id, since, KEPT)]


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds: half of `tasks` took at most `median`, nineteen of twenty at most `p95`."""

    tasks: int
    median: float
    p95: float


def spread(values: Sequence[float | None]) -> Spread | None:
    """None without a value."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    cuts = quantiles(known, n=20, method="inclusive") if len(known) > 1 else known * 19
    return Spread(len(known), round(cuts[9], 4), round(cuts[18], 4))
