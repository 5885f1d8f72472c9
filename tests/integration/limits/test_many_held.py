"""A rule over very many tasks is carried out in pieces, none of which is longer than a statement may take."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest

from gateway.errors import DatabaseUnavailable
from gateway.limits.limits import LONGEST_REST, SQL, Limits
from gateway.limits.pauses import Pauses
from gateway.limits.quotas import Quotas
from gateway.limits.sweep import CHUNK
from gateway.storage.database import Database
from gateway.storage.driver_errors import StatementTooLong
from gateway.storage.listener import Listener
from workers.testing.waiting import eventually

TASKS = 3 * CHUNK + 10
FILL = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, project_id, state, backend, held, created_at)
SELECT $2 || n, 'g', 't', nullif($2, 'nobody'), 'p' || n % 2, $3, CASE WHEN $3 <> 'waiting' THEN 'temporal' END, $4,
       now() - make_interval(secs => n % 500)
FROM generate_series(1, $1::int) n
"""
PAUSE = "INSERT INTO taskgate.pause (pause_id, tenant_id, task_type, why, set_by) VALUES ('p1', $1, 't', 'x', 'root')"
QUOTA = """
INSERT INTO taskgate.quota (tenant_id, project_id, running, set_by)
VALUES ('initech', $1, 0, 'root') ON CONFLICT (tenant_id, project_id) DO NOTHING
"""

ROOM = "INSERT INTO taskgate.quota (tenant_id, project_id, running, set_by) VALUES ($1, $2, $3, 'root')"


class Slow:
    """A database in which each statement takes a second, and the clock that says so."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.now = 100.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def execute(self, query: str, *values: Any) -> str:
        self.now += 1
        return await self._database.execute(query, *values)

    async def fetchrow(self, query: str, *values: Any) -> Any:
        self.now += 1
        return await self._database.fetchrow(query, *values)


async def held(database: Database) -> int:
    return int(await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE held IS NOT NULL"))


def limits_of(slow: Any, database: Database) -> Limits:
    return Limits(slow, Listener(database), recallable=["temporal"], clock=lambda: slow.now)


async def pieces(limits: Limits, database: Database) -> list[int]:
    """How many were held after each look, until there is no more to do."""
    after: list[int] = []
    has_more = True
    while has_more:
        has_more = await limits.settle(is_asked=not after)
        after.append(await held(database))
    return after


@pytest.mark.parametrize(
    ("tenant", "reason"),
    [
        ("initech", "quota:running"),
        ("initech", "quota:running:project"),
        ("initech", "paused:p1"),
        ("nobody", "paused:p1"),
    ],
)
async def test_what_a_rule_held_that_is_gone_goes_on_in_pieces(database: Database, tenant: str, reason: str) -> None:
    """In one statement it was cut off after eight seconds, and begun again and again: nothing was ever released."""
    await database.execute(FILL, TASKS, tenant, "waiting", reason)
    slow: Any = Slow(database)
    after = await pieces(limits_of(slow, database), database)
    assert after == [TASKS - CHUNK, TASKS - 2 * CHUNK, TASKS - 3 * CHUNK, 0]


async def test_what_another_rule_holds_is_passed_over_once(database: Database) -> None:
    """The quota of one project is gone, that of the other stays."""
    await database.execute(QUOTA, "p0")
    await database.execute(FILL, 2 * TASKS, "initech", "waiting", "quota:running:project")
    slow: Any = Slow(database)
    after = await pieces(limits_of(slow, database), database)
    assert after == [2 * TASKS - CHUNK, 2 * TASKS - 2 * CHUNK, 2 * TASKS - 3 * CHUNK, TASKS]


async def test_a_pause_calls_back_in_pieces(database: Database) -> None:
    await database.execute(FILL, TASKS, "initech", "queued", None)
    await database.execute(FILL, TASKS, "umbrella", "queued", None)
    await database.execute(PAUSE, "umbrella")
    limits = limits_of(Slow(database), database)
    await limits.refresh()
    assert await pieces(limits, database) == [CHUNK, 2 * CHUNK, 3 * CHUNK, TASKS]
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued'") == TASKS


async def test_other_rules_are_followed_meanwhile(database: Database) -> None:
    """The gateway that calls a flood back hears of a quota between two pieces."""
    await database.execute(FILL, TASKS, "initech", "queued", None)
    await database.execute(PAUSE, "initech")
    heard: list[int] = []

    class Watched(Slow):
        async def fetch(self, query: str, *values: Any) -> Any:
            if "taskgate.quota" in query:
                heard.append(await held(database))
            return await database.fetch(query, *values)

    following = asyncio.create_task(limits_of(Watched(database), database).run())
    try:
        await eventually(lambda: held(database), lambda tasks: tasks == TASKS)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert sorted(set(heard))[:4] == [0, CHUNK, 2 * CHUNK, 3 * CHUNK]


async def test_who_changes_a_rule_waits_for_one_piece(database: Database) -> None:
    """The answer does not depend on the number of tasks."""
    await database.execute(FILL, TASKS, "initech", "waiting", "quota:running")
    await database.execute(FILL, TASKS, "umbrella", "queued", None)
    await database.execute(QUOTA, "")
    limits = limits_of(Slow(database), database)
    await Quotas(database, limits).clear("initech", "", by="root", why=None)
    assert await held(database) == TASKS - CHUNK
    await Pauses(database, limits).add("umbrella", None, None, by="root", why="test")
    # One piece of each: calling back, and letting go.
    assert await held(database) == TASKS - CHUNK
    await Quotas(database, limits).set(
        *("umbrella", ""), queued=None, running=5, per_minute=None, bytes_per_day=None, by="root", why=None
    )
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE takes_slot") == CHUNK


async def test_no_quota_waits_behind_one_that_was_raised_far(database: Database) -> None:
    """A look lets go so many in all, of each quota in turn; what one does not need goes to the others."""
    for tenant, project, running in ("acme", "", 100_000), ("initech", "", 3), ("umbrella", "p1", 100_000):
        await database.execute(ROOM, tenant, project, running)
        reason = "quota:running:project" if project else "quota:running"
        await database.execute(FILL, 500, tenant, "waiting", reason)
    await database.execute("UPDATE taskgate.dispatch SET due_at = created_at")
    assert await database.execute(SQL.release_for_slots, 101) == "UPDATE 101"
    rows = await database.fetch(
        "SELECT tenant_id, project_id, held IS NULL AS is_free FROM taskgate.dispatch ORDER BY tenant_id, created_at"
    )
    free = Counter(row["tenant_id"] for row in rows if row["is_free"])
    assert free == {"acme": 49, "initech": 3, "umbrella": 49}
    # The longest due of each first.
    for tenant, project, tasks in ("acme", None, 49), ("initech", None, 3), ("umbrella", "p1", 49):
        its = [row["is_free"] for row in rows if row["tenant_id"] == tenant and project in (None, row["project_id"])]
        assert all(its[:tasks])


async def test_a_change_is_done_though_its_tasks_cannot_be_reached(database: Database) -> None:
    """Whoever is answered 503 believes that nothing was changed."""
    await database.execute(QUOTA, "")

    class Away(Slow):
        async def fetchrow(self, query: str, *values: Any) -> Any:
            raise DatabaseUnavailable from asyncpg.QueryCanceledError("canceling statement due to user request")

    limits = limits_of(Away(database), database)
    await Quotas(database, limits).clear("initech", "", by="root", why=None)
    assert await database.fetchval("SELECT count(*) FROM taskgate.quota") == 0
    added, _ = await Pauses(database, limits).add("initech", None, None, by="root", why="test")
    await Pauses(database, limits).remove(added.pause_id, by="root", why=None)


async def test_calling_back_that_is_cut_off_keeps_nothing_held(database: Database) -> None:
    """It reads all that an engine has; what it is cut off for is not tried again at once, and others go on."""
    await database.execute(FILL, 10, "initech", "waiting", "quota:running")
    await database.execute(FILL, 10, "umbrella", "queued", None)
    await database.execute(PAUSE, "umbrella")
    asked: list[float] = []

    class Cut(Slow):
        async def fetchrow(self, query: str, *values: Any) -> Any:
            if query == SQL.recall_paused:
                asked.append(self.now)
                raise DatabaseUnavailable from StatementTooLong(8.0)
            return await super().fetchrow(query, *values)

    cut: Any = Cut(database)
    limits = limits_of(cut, database)
    await limits.refresh()
    await limits.settle(is_asked=False)
    assert await held(database) == 0
    cut.now = asked[0] + LONGEST_REST - 0.5
    await limits.settle(is_asked=False)
    assert len(asked) == 1
    cut.now = asked[0] + LONGEST_REST
    await limits.settle(is_asked=False)
    assert len(asked) == 2
