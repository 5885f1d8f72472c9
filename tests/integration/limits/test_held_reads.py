"""What is held is not read at each look: a hundred thousand tasks may wait for a pause or a quota."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from gateway.limits.limits import LONGEST_REST, SQL, Limits
from gateway.storage.database import Database
from gateway.storage.listener import Listener

HELD = 5_000
FILL = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, project_id, state, due_at, held)
SELECT 'held' || n, 'g', 't', CASE WHEN $2 THEN 'initech' END, 'p1', 'waiting', now(), $3
FROM generate_series(1, $1::int) n
"""
OPEN = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, project_id, state, backend)
SELECT 'open' || n, 'g', 't', 'initech', 'p1', 'queued', 'redis' FROM generate_series(1, $1::int) n
"""
PAUSE = "INSERT INTO taskgate.pause (pause_id, task_type, why, set_by) VALUES ('p1', 't', 'test', 'root')"
QUOTA = "INSERT INTO taskgate.quota (tenant_id, project_id, running, set_by) VALUES ('initech', $1, 10, 'root')"
READ = """
SELECT (seq_tup_read + COALESCE(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables
WHERE relid = 'taskgate.dispatch'::regclass
"""


class Slow:
    """A database in which one statement takes a second, and the clock that says so."""

    def __init__(self, database: Database, query: str) -> None:
        self._database = database
        self._query = query
        self.asked = 0
        self.now = 100.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def fetchrow(self, query: str, *values: Any) -> Any:
        self.asked += query == self._query
        self.now += query == self._query
        return await self._database.fetchrow(query, *values)


@pytest_asyncio.fixture(params=["paused:p1", "quota:running"])
async def held(database: Database, request: pytest.FixtureRequest) -> str:
    for is_tenants in (True, False) if request.param == "paused:p1" else (True,):
        await database.execute(FILL.replace("'held'", f"'held{is_tenants}'"), HELD, is_tenants, request.param)
    await database.execute(OPEN, HELD)
    await database.execute(PAUSE)
    await database.execute(QUOTA, "")
    await database.execute("ANALYZE taskgate.dispatch")
    return str(request.param)


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
async def test_a_look_reads_nothing_of_what_stays_held(database: Database, held: str, plans: str) -> None:
    """With 100,000 by a pause and as many by a quota the looks took 0.6 s a second, in each gateway."""
    async with database.transaction() as db:
        await db.execute(f"SET LOCAL plan_cache_mode = {plans}")
        connection: Any = db
        limits = Limits(connection, Listener(database), recallable=[])
        before = await db.fetchval(READ)
        await limits.settle(is_asked=False)
        assert await db.fetchval(READ) - before < 100


async def test_what_is_held_goes_on_when_its_rule_is_gone(database: Database, held: str) -> None:
    """Also when nobody said so."""
    await database.execute("DELETE FROM taskgate.pause")
    await database.execute("DELETE FROM taskgate.quota")
    limits = Limits(database, Listener(database), recallable=[])
    while await limits.settle(is_asked=False):
        pass
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE held IS NOT NULL") == 0


@pytest.mark.parametrize(
    ("query", "rule"),
    [(SQL.release_unlimited, QUOTA.replace("$1", "'p1'").replace("10", "0")), (SQL.recall_paused, PAUSE)],
    ids=["quotas of projects", "pauses"],
)
async def test_a_look_that_takes_long_is_taken_less_often(database: Database, query: str, rule: str) -> None:
    """These read all that projects' quotas hold, and all that Temporal has, while there is a pause."""
    await database.execute(rule)
    await database.execute(FILL, 1, True, "quota:running:project")
    slow: Any = Slow(database, query)
    limits = Limits(slow, Listener(database), recallable=["temporal"], clock=lambda: slow.now)
    await limits.refresh()
    for _ in range(3):
        await limits.settle(is_asked=False)
    assert slow.asked == 1
    slow.now += LONGEST_REST
    await limits.settle(is_asked=False)
    assert slow.asked == 2
    await limits.settle()
    assert slow.asked == 3, "whoever changes a rule does not wait"
