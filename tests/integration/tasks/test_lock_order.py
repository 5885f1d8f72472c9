"""Statements that change many tasks take their locks in the order of the ids, so that no two wait for each other.

The plan is one that finds the rows in the opposite order: they were written and are named so, and no index may be used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from contracts.locks import until_it_waits
from gateway.dags.run_reader import SQL as STEPS
from gateway.dead_letters.filter import SQL as DEAD_LETTERS
from gateway.dispatch.open_starts import SQL as DISPATCH
from gateway.limits.limits import SQL as LIMITS
from gateway.migration.rampdown import rampdown
from gateway.operations.operations import SQL as OPERATIONS
from gateway.recovery.reaper import SQL as REAPER
from gateway.recovery.reconciler import SQL as RECONCILER
from gateway.storage.database import Database

IDS = [f"task-{number:02}" for number in range(10)]
DOWNWARDS = IDS[::-1]
EPOCHS = [1] * len(IDS)
PLAN = """
SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
SET enable_nestloop = off; SET enable_mergejoin = off
"""
#: Processes that own starts and runs, and a run of a DAG.
OWNERS = """
INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key, lost_at)
VALUES ('owner', 'gateway', NULL, 'h', 1, '0', 1, NULL), ('lost', 'worker', 'redis', 'h', 2, '0', 2, now());
INSERT INTO taskgate.dag_version (tenant_id, name, version, definition, plan, digest)
VALUES ('acme', 'n', 1, '{}', '{}', '');
INSERT INTO taskgate.dag_run (run_id, owner, name, version, params) VALUES ('run', 'acme', 'n', 1, '{}')
"""
LATER = datetime.now(UTC) + timedelta(hours=1)
EARLY = datetime(1970, 1, 1, tzinfo=UTC)
BEFORE = datetime.now(UTC) - timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Case:
    """`dispatch` and `log` are columns of the rows that the statement is to change; `quota`: of tasks that run."""

    sql: str
    arguments: Sequence[Any] = ()
    dispatch: dict[str, Any] = field(default_factory=dict)
    log: dict[str, Any] | None = field(default_factory=dict)
    table: str = "taskgate.dispatch"
    key: str = "task_id"
    quota: int | None = None


STARTING = {"state": "starting", "owner_id": "owner"}
HELD = {"state": "waiting", "backend": None, "held": "quota:running"}

CASES: dict[str, Callable[[], Case]] = {
    "confirm": lambda: Case(DISPATCH.confirm, (DOWNWARDS, EPOCHS, [0.0] * len(IDS)), STARTING),
    "renew": lambda: Case(DISPATCH.renew, (DOWNWARDS, EPOCHS, "owner", 10.0), STARTING),
    "put_back": lambda: Case(DISPATCH.put_back, (DOWNWARDS, EPOCHS, "owner", 5.0), STARTING),
    "due_now": lambda: Case(DISPATCH.due_now, ("redis", 1000, 7200.0), {"state": "waiting", "due_at": LATER}),
    "evacuate": lambda: Case(DISPATCH.evacuate, ("redis", 1000)),
    "declare_lost": lambda: Case(REAPER.declare_lost, (["owner"],), STARTING),
    "take_back": lambda: Case(REAPER.take_back, (3, 1000), {"state": "running", "worker_id": "lost", "attempt": 1}),
    "start_again": lambda: Case(REAPER.start_again, (DOWNWARDS, EPOCHS)),
    "merge_started": lambda: Case(
        RECONCILER.merge_started, (["redis"], None), log={"started_at": BEFORE, "worker_id": "legacy"}
    ),
    "merge_ended": lambda: Case(
        RECONCILER.merge_ended, (["redis"], None), log={"status": "COMPLETED", "completed_at": BEFORE}
    ),
    "merge_recovered": lambda: Case(RECONCILER.merge_recovered, (["redis"],), log={"status": "PENDING"}),
    "drop_rowless": lambda: Case(RECONCILER.drop_rowless, log=None),
    "restore_stopped": lambda: Case(
        RECONCILER.restore_stopped,
        (),
        {"state": "stopped", "finished_at": BEFORE},
        {"status": "COMPLETED"},
        *("task_logs", "id"),
    ),
    "restore_completed": lambda: Case(
        RECONCILER.restore_completed,
        (True,),
        {"state": "completed", "finished_at": BEFORE},
        {"status": "PENDING"},
        *("task_logs", "id"),
    ),
    "rewait": lambda: Case(rampdown._REWAIT, (DOWNWARDS, EPOCHS, "redis", "temporal")),
    "recall": lambda: Case(rampdown._RECALL, (DOWNWARDS, EPOCHS, "redis", "temporal")),
    "mark_open": lambda: Case(LIMITS.mark_open, (1000, EARLY, "", "acme", "")),
    "release_for_slots": lambda: Case(LIMITS.release_for_slots, (1000,), HELD, quota=10),
    "reprioritise_waiting": lambda: Case(OPERATIONS.reprioritise_waiting, (DOWNWARDS, 1), {"state": "waiting"}),
    "reprioritise_queued": lambda: Case(OPERATIONS.reprioritise_queued, (DOWNWARDS, 1, ["redis"])),
    "redrive": lambda: Case(
        DEAD_LETTERS.redrive, (DOWNWARDS, [0.0] * len(IDS), None), {"state": "failed"}, {"status": "FAILED"}
    ),
    "stop_nodes": lambda: Case(STEPS.stop_nodes, ("run", "why", "channel")),
    "reopen": lambda: Case(
        STEPS.reopen,
        ("run", DOWNWARDS, *([None] * len(IDS) for _ in range(4))),
        {"state": "failed"},
        {"status": "FAILED"},
    ),
}


async def write(db: Database, case: Case) -> None:
    """The highest id first, among rows of others."""
    dispatch = {
        **{"group_id": "g", "task_type": "t", "tenant_id": "acme", "state": "queued", "backend": "redis", "epoch": 1},
        **{"created_at": BEFORE, **case.dispatch},
    }
    await db.execute(OWNERS)
    await db.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state)"
        " SELECT 'other-' || n, 'g', 't', 'completed' FROM generate_series(1, 200) n"
    )
    for task_id in DOWNWARDS:
        await insert(db, "taskgate.dispatch", {"task_id": task_id, **dispatch})
        if case.log is not None:
            log = {"id": task_id, "group_id": "g", "task_type": "t", "status": "PROCESSING", "progress": 0}
            await insert(db, "task_logs", {**log, "retry_count": 0, **case.log})
        if dispatch["state"] == "running":
            attempt = {"task_id": task_id, "attempt": 1, "epoch": 1, "backend": "redis", "worker_id": "lost"}
            await insert(db, "taskgate.attempt", attempt)
        node = {"run_id": "run", "path": task_id, "node": task_id, "task_id": task_id, "again": True}
        await insert(db, "taskgate.dag_node", node)
    if case.quota is not None:
        await insert(db, "taskgate.quota", {"tenant_id": dispatch["tenant_id"], "running": case.quota, "set_by": "me"})
    await db.execute("ANALYZE")


async def insert(db: Database, table: str, values: dict[str, Any]) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())


@pytest.mark.parametrize("name", CASES)
async def test_who_waits_for_the_first_holds_none_of_the_others(
    database: Database, database_url: str, name: str
) -> None:
    case = CASES[name]()
    await write(database, case)
    changing = await asyncpg.connect(database_url)
    await changing.execute(PLAN)
    lock = f"SELECT {case.key} FROM {case.table} WHERE {case.key} = ANY ($1::text[]) ORDER BY 1 FOR UPDATE"
    async with database.transaction() as first:
        await first.execute(lock, IDS[:1])
        change = asyncio.create_task(changing.fetch(case.sql, *case.arguments))
        await until_it_waits(database, changing.get_server_pid(), change)
        async with database.transaction() as others:
            free = [row[0] for row in await others.fetch(f"{lock} SKIP LOCKED", IDS)]
        assert free == IDS[1:]
    async with asyncio.timeout(10):
        await change
    await changing.close()
