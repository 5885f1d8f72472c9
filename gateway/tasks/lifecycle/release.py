"""Release, when the gateway is removed: reserved rows of Redis tasks become ordinary pending rows again (ADR 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg
import orjson

from backends.port import WorkflowEnginePort, WorkflowRef, WorkflowStart
from gateway.audit.acts import Act, record
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.tasks.lifecycle", "release.sql")
#: Legacy workers have time limits of their own.
_UNUSED_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Released:
    """How many rows were given back, how many of them Redis had to be given, what is left: (backend, state) → tasks."""

    rows: int
    pushed: int
    left: dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What a release would do, and which gateways and workers still run: a release would take their tasks away."""

    rows: int
    left: dict[tuple[str, str], int]
    living: list[str]


async def plan_release(database: Database, lease_seconds: float) -> ReleasePlan:
    """Changes nothing. Raises `DatabaseUnavailable`."""
    living = [
        f"{row['kind']} {row['process_id']} (process {row['pid']} on {row['host']})"
        for row in await database.fetch(SQL.living, lease_seconds)
    ]
    return ReleasePlan(await database.fetchval(SQL.to_release), await _left(database), living)


async def release(database: Database, redis: WorkflowEnginePort | None, *, by: str, forced: bool = False) -> Released:
    """Give every waiting Redis task back to the legacy system. To be run when no gateway does; repeatable.

    From then on, unmodified legacy workers handle these rows as always. Tasks that are in none of Redis's lists are
    pushed. Without `redis`, or after a failure here, the recovery loop of legacy workers pushes them when they are a
    minute old. Raises `DatabaseUnavailable`, `EngineUnavailable`, `LedgerUnwritable`.
    """
    if redis is not None:
        await redis.check_health()
    async with database.transaction() as db:
        rows = await db.fetch(SQL.release)
        detail = {"tasks": len(rows), "forced": forced}
        await record(db, Act("release", "all tasks", by, detail=detail, source="command"))
    pushed = 0 if redis is None else await _push_missing(redis, rows)
    return Released(len(rows), pushed, await _left(database))


async def _push_missing(redis: WorkflowEnginePort, rows: list[asyncpg.Record]) -> int:
    refs = {WorkflowRef(row["id"], row["epoch"], row["group_id"], row["task_type"]): row for row in rows}
    missing = await redis.find_lost(list(refs))
    for ref in missing:
        row = refs[ref]
        # With a new epoch: the previous start may be marked as pushed, and lost with its list.
        again = replace(ref, epoch=ref.epoch + 1)
        await redis.start_workflow(
            WorkflowStart(again, orjson.loads(row["payload"]), _UNUSED_TIMEOUT, priority=row["priority"])
        )
    return len(missing)


async def _left(database: Database) -> dict[tuple[str, str], int]:
    return {(row["backend"], row["state"]): row["tasks"] for row in await database.fetch(SQL.left)}
