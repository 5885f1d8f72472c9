"""Release, when the gateway is removed: reserved rows of Redis tasks become ordinary pending rows again (ADR 1)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg

from backends.errors import StartRefused
from backends.port import WorkflowEnginePort, WorkflowRef, WorkflowStart
from gateway.audit.acts import Act, record
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.payload import decode_payload

log = logging.getLogger(__name__)

SQL = Queries("gateway.tasks.lifecycle", "release.sql")
#: Tasks that are given back at a time. Each page reads the lists of its groups, and takes payloads one by one.
PAGE = 10_000
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
    pushed. Without `redis`, after a failure here, or if `redis` refuses one, the recovery loop of legacy workers pushes
    them when they are a minute old. Raises `DatabaseUnavailable`, `EngineUnavailable`, `LedgerUnwritable`.
    """
    if redis is not None:
        await redis.check_health()
    async with database.transaction() as db:
        detail = {"tasks": await db.fetchval(SQL.to_release), "forced": forced}
        await db.execute(SQL.begin)
        await record(db, Act("release", "all tasks", by, detail=detail, source="command"))
    rows = pushed = 0
    while page := await database.fetch(SQL.release, PAGE):
        pending = [row for row in page if row["is_pending"]]
        rows += len(pending)
        if redis is not None:
            pushed += await _push_missing(database, redis, pending)
    return Released(rows, pushed, await _left(database))


async def _push_missing(database: Database, redis: WorkflowEnginePort, rows: list[asyncpg.Record]) -> int:
    priorities = {
        WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"]): row["priority"] for row in rows
    }
    pushed = 0
    for ref in await redis.find_lost(list(priorities)):
        payload = decode_payload(await database.fetchval(SQL.payload, ref.task_id))
        # With a new epoch: the previous start may be marked as pushed, and lost with its list.
        again = replace(ref, epoch=ref.epoch + 1)
        try:
            await redis.start_workflow(WorkflowStart(again, payload, _UNUSED_TIMEOUT, priority=priorities[ref]))
        except StartRefused as error:
            # The rows of the page are given back already: the recovery loop of legacy workers will try it.
            log.warning("%s", error.message)
        else:
            pushed += 1
    return pushed


async def _left(database: Database) -> dict[tuple[str, str], int]:
    return {(row["backend"], row["state"]): row["tasks"] for row in await database.fetch(SQL.left)}
