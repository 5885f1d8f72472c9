"""What is looked for at an engine at each tick is found among few rows, whatever else the table has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability, WorkflowRef, WorkflowState, WorkflowStatus
from gateway.recovery.engine_check import FULL_EVERY, PAGE, READ, UNFENCED_PAGE, WAITING_PAGE, EngineCheck
from gateway.storage.database import Database, type_Connection

WAITING, RUNNING = 5_000, 30
FILL = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, created_at, queued_at, state, backend, epoch,
                               attempt)
SELECT state || n, 'g', 't', 'tenant' || n % 5, now() - interval '1 hour', now() - interval '1 hour', state, backend, 1,
       1
FROM (VALUES ('completed', 'temporal', 2 * $1), ('queued', $3, $1), ('running', $3, $2)) AS s (state, backend, times),
     generate_series(1, times::int) n
"""
RUNS = """
INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome, is_counted)
SELECT task_id, 1, 1, backend, 'w1', CASE state WHEN 'completed' THEN state END, state = 'completed'
FROM taskgate.dispatch WHERE state <> 'queued'
"""
#: Of this transaction.
READ_ROWS = """
SELECT (seq_tup_read + COALESCE(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables
WHERE relid = 'taskgate.dispatch'::regclass
"""
#: Of one look: one page is read of the starts and one of the runs, and they may be updated.
MOST_READ = 2 * READ


class Busy(MemoryEngine):
    """Has all of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[str] = []

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus:
        self.asked.append(ref.task_id)
        return WorkflowStatus(WorkflowState.QUEUED)

    async def find_lost(self, refs: Any) -> list[WorkflowRef]:
        self.asked += [ref.task_id for ref in refs]
        return []


@pytest_asyncio.fixture
async def fill(database: Database) -> AsyncIterator[Any]:
    """Open tasks of a backend; the transaction in which rows are counted, with plans for all arguments."""
    async with database.transaction() as db:

        async def fill(backend: str) -> type_Connection:
            await database.execute(FILL, WAITING, RUNNING, backend)
            await database.execute(RUNS)
            await database.execute("ANALYZE taskgate.dispatch, taskgate.attempt")
            await db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            return db

        yield fill


def check_of(db: Any, engine: MemoryEngine, changes: Any) -> EngineCheck:
    return EngineCheck(db, engine, changes, is_down=lambda _: False, wake=lambda: None)


@pytest.mark.parametrize("backend", ["temporal", "redis"], ids=["many there", "nothing there"])
async def test_a_look_reads_a_page(fill: Any, changes: Any, backend: str) -> None:
    """With 100,000 tasks in Redis and nothing on Temporal, looks at Temporal read the whole table: 0.5 s a second."""
    db, engine = await fill(backend), Busy(name="temporal")
    check = check_of(db, engine, changes)
    before = await db.fetchval(READ_ROWS)
    for _ in range(FULL_EVERY):
        await check.check_open()
        await check.merge_ended()
        after = await db.fetchval(READ_ROWS)
        assert after - before < MOST_READ
        before = after
    there = backend == "temporal"
    assert len({task_id for task_id in engine.asked if task_id.startswith("running")}) == (RUNNING if there else 0)
    assert len({task_id for task_id in engine.asked if task_id.startswith("queued")}) == (WAITING_PAGE if there else 0)


async def test_a_look_at_redis_reads_a_page(fill: Any, changes: Any) -> None:
    engine = Busy(name="redis", capabilities=CAPABILITIES - {Capability.FENCED})
    db = await fill("redis")
    check = check_of(db, engine, changes)
    before = await db.fetchval(READ_ROWS)
    for _ in range(FULL_EVERY):
        await check.check_open()
    await check.keep_fresh()
    assert await db.fetchval(READ_ROWS) - before < MOST_READ
    assert len(engine.asked) in range(UNFENCED_PAGE - RUNNING, UNFENCED_PAGE + 1)


async def test_all_are_looked_at_that_waited_when_a_worker_was_lost(
    fill: Any, database: Database, changes: Any, new_worker: Any
) -> None:
    """The engine may have given any of them to it."""
    await new_worker()
    await database.execute("UPDATE taskgate.process SET lost_at = now()")
    engine = Busy(name="temporal")
    db = await fill("temporal")
    await database.execute(
        "UPDATE taskgate.dispatch SET queued_at = now() + interval '1 minute' WHERE task_id LIKE '%0'"
    )
    check = check_of(db, engine, changes)
    waited = WAITING - WAITING // 10
    for _ in range(FULL_EVERY + 2 * waited // PAGE * FULL_EVERY // (FULL_EVERY - 2)):
        await check.check_open()
    asked = {task_id for task_id in engine.asked if task_id.startswith("queued")}
    assert len([task_id for task_id in asked if not task_id.endswith("0")]) == waited
