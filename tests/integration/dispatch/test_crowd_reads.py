"""A look at a crowd reads little of it, whatever the statistics say, and with a plan for all arguments."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from backends.memory.engine import MemoryEngine
from gateway.dispatch.due_tasks import DueTasks
from gateway.dispatch.lane import Lane
from gateway.storage.database import Database, type_Connection

CROWD = 10_000
FILL = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, created_at, state, backend, due_at)
SELECT state || n, 'g', 't', 'tenant' || n % 5, now() - interval '1 hour', state, backend, now() - interval '1 s' * n
FROM (VALUES ('completed', 'temporal', 2), ('queued', 'temporal', 1), ('waiting', 'redis', 1))
         AS s (state, backend, times),
     generate_series(1, times * $1::int) n
"""
#: The planner is to take the table for so many times as large.
LARGE = "UPDATE pg_class SET reltuples = reltuples * $1 WHERE oid = 'taskgate.dispatch'::regclass"
#: Of this transaction.
READ = """
SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'taskgate.dispatch'::regclass
"""
#: So many rows of each tenant and priority at most, and once more when they are locked.
MOST_READ = 2_000


@pytest_asyncio.fixture(params=["analysed", "unknown", "analysed and large"])
async def crowd(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[type_Connection]:
    """A transaction; a part of those that wait came after the last analysis."""
    if request.param == "unknown":
        await database.execute(FILL, CROWD // 10)
        await database.execute("ANALYZE taskgate.dispatch")
        await database.execute("DELETE FROM taskgate.dispatch")
    await database.execute(FILL, CROWD)
    if request.param != "unknown":
        await database.execute("ANALYZE taskgate.dispatch")
    if request.param == "analysed and large":
        await database.execute(LARGE, 20)
    async with database.transaction() as db:
        await db.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        yield db


def looks_in_turn(lanes: dict[str, Lane]) -> DueTasks:
    """In the middle of a crowd, after a look for starts to repeat."""
    due = DueTasks(lanes)
    due._is_crowded, due._by_time_at = True, float("inf")
    due._repeats._at = float("inf")
    return due


@pytest.fixture
def lanes() -> dict[str, Lane]:
    return {name: Lane(MemoryEngine(name=name), concurrency=16) for name in ("redis", "temporal")}


async def test_a_look_in_turn_reads_no_more_than_it_takes(crowd: type_Connection, lanes: dict[str, Lane]) -> None:
    """With 80,000 that waited it read all of them: 0.15 s for each look, and 64 tasks began a second."""
    before = await crowd.fetchval(READ)
    rows, _ = await looks_in_turn(lanes).take(crowd)
    assert rows
    assert await crowd.fetchval(READ) - before < MOST_READ


async def test_who_is_ahead_is_counted_no_further_than_necessary(
    crowd: type_Connection, lanes: dict[str, Lane]
) -> None:
    lanes["temporal"].submitting.note("somebody")
    before = await crowd.fetchval(READ)
    rows, _ = await looks_in_turn(lanes).take(crowd)
    assert rows == [], "each has enough that no worker has claimed"
    assert await crowd.fetchval(READ) - before < MOST_READ
