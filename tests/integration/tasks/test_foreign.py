"""Tasks of legacy producers: offered again after their worker was lost, and stopped while they are adopted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.ingress.bridge import SQL as BRIDGE
from gateway.storage.database import Database, type_Connection
from gateway.tasks.lifecycle.foreign import SQL, ForeignTasks
from gateway.tasks.lifecycle.transitions import SQL as TRANSITIONS
from gateway.tasks.lifecycle.transitions import Transitions
from workers.testing.waiting import eventually


@pytest.mark.parametrize("value", [2**64 + 1, -(10**30), "\ud800", "\0", math.nan, math.inf, 0.1, 1e22, [{}], None])
async def test_a_tasks_own_payload_may_be_the_task(database: Database, value: Any) -> None:
    foreign = ForeignTasks(database)
    payload = {"task_id": "t1", "task_type": "probe", "timestamp": 1.5, "n": value}
    assert await foreign.judge("t1", "g", payload) is None
    assert await foreign.adopt("t1", "g", "probe", payload)
    assert await foreign.judge("t1", "g", payload) is None
    assert "duplicate task_id" in str(await foreign.judge("t1", "g", {**payload, "n": "another"}))


#: A session waits for a lock.
WAITS = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
PRODUCED = (
    "INSERT INTO task_logs (id, group_id, task_type, status, retry_count, progress)"
    " VALUES ('t1', 'g', 'probe', 'PENDING', 0, 0)"
)
ROWS = "SELECT d.state, t.status FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id"


async def by_a_worker(db: type_Connection) -> None:
    assert await db.fetchrow(SQL.adopt, "t1", "g", "probe", "{}", None, None, None, 3)


async def by_the_bridge(db: type_Connection) -> None:
    assert await db.fetchrow(BRIDGE.lock_dispatch, "t1") is None
    assert await db.fetchrow(BRIDGE.lock_log, "t1")
    await db.execute(BRIDGE.reserve, "t1", "g", "probe", "{}")
    await db.execute(BRIDGE.adopt, "t1", "g", "probe", None, None, None, 3)


@pytest.mark.parametrize("adopt", [by_a_worker, by_the_bridge])
async def test_a_stop_waits_for_an_adoption_and_stops_the_task(
    database: Database, transitions: Transitions, adopt: Callable[[type_Connection], Awaitable[None]]
) -> None:
    await database.execute(PRODUCED)
    async with database.transaction() as adopting:
        await adopt(adopting)
        stop = asyncio.create_task(transitions.stop("t1"))
        await eventually(lambda: database.fetchval(WAITS))
    async with asyncio.timeout(10):
        await stop
    assert tuple(await database.fetchrow(ROWS) or ()) == ("stopped", "FAILED")


async def test_a_worker_waits_for_a_stop_and_does_not_adopt_the_task(
    database: Database, transitions: Transitions
) -> None:
    await database.execute(PRODUCED)
    async with database.transaction() as stopping:
        await stopping.fetchrow(TRANSITIONS.lock_log, "t1")
        adoption = asyncio.create_task(ForeignTasks(database).adopt("t1", "g", "probe", {}))
        await eventually(lambda: database.fetchval(WAITS))
        await transitions.stop_within(stopping, "t1")
    async with asyncio.timeout(10):
        assert not await adoption
    assert tuple(await database.fetchrow(ROWS) or ()) == ("stopped", "FAILED")
