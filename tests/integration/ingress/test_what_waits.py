"""Only what cannot be stored is set aside, whole; whatever else PostgreSQL says, the payload waits."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from gateway.errors import DatabaseUnavailable
from workers.testing.waiting import eventually

LOCKED = "SELECT 1 FROM task_logs WHERE id = $1 FOR UPDATE"
WAITERS = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest_asyncio.fixture
async def other(database: Any) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.url)
    yield connection
    await connection.close()


async def _waiter(connection: asyncpg.Connection) -> int:
    return int(await eventually(lambda: connection.fetchval(WAITERS)))


async def _until_adopted(bridge: Any, tasks: Any, wanted: list[str]) -> None:
    async def adopted() -> list[str]:
        await bridge.tick()
        return sorted(await tasks.adopted())

    await eventually(adopted, lambda found: found == sorted(wanted))


async def _locked(producer: Any, tasks: Any, other: asyncpg.Connection) -> tuple[str, asyncpg.transaction.Transaction]:
    """A task of 200 kB whose row another session holds."""
    payload = await producer.push(content="x" * 200_000)
    await tasks.insert(payload["task_id"], payload=json.dumps(payload))
    transaction = other.transaction()
    await transaction.start()
    await other.execute(LOCKED, payload["task_id"])
    return payload["task_id"], transaction


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_query_that_somebody_ended(how, producer, bridge, tasks, database, other):
    task_id, transaction = await _locked(producer, tasks, other)
    ticking = asyncio.create_task(bridge.tick())
    await database.execute(f"SELECT {how}($1)", await _waiter(other))
    with contextlib.suppress(DatabaseUnavailable):
        await ticking
    await transaction.rollback()
    await _until_adopted(bridge, tasks, [task_id])
    assert await producer.dead() == []
    assert await producer.kept() == 0


async def test_a_deadlock(producer, bridge, tasks, other):
    task_id, transaction = await _locked(producer, tasks, other)
    await other.execute("SET deadlock_timeout = '60s'")  # it is the bridge's session that finds it
    ticking = asyncio.create_task(bridge.tick())
    await _waiter(other)
    locking = asyncio.create_task(other.execute("LOCK TABLE taskgate.bridge_entry IN ACCESS EXCLUSIVE MODE"))
    with contextlib.suppress(DatabaseUnavailable):
        await ticking
    await locking
    await transaction.rollback()
    await _until_adopted(bridge, tasks, [task_id])
    assert await producer.dead() == []


async def test_a_row_that_is_held_keeps_back_its_group_only(producer, bridge, tasks, other):
    held, transaction = await _locked(producer, tasks, other)
    behind = await producer.push()
    elsewhere = await producer.push("p-other")
    async with asyncio.timeout(5):
        await bridge.tick()
    assert await tasks.adopted() == [elsewhere["task_id"]]
    assert await producer.waiting() == [behind["task_id"]]
    await transaction.rollback()
    await _until_adopted(bridge, tasks, [held, behind["task_id"], elsewhere["task_id"]])
    assert await producer.dead() == []


async def test_while_postgresql_stores_nothing_everything_waits(producer, bridge, tasks, database):
    """The constraint stands for a full disk."""
    await database.execute("ALTER TABLE taskgate.bridge_entry ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    pushed = [(await producer.push(f"group-{n % 3}"))["task_id"] for n in range(60)]
    for _ in range(3):
        await bridge.tick()
    assert await tasks.adopted() == []
    assert await producer.kept() == 3
    await database.execute("ALTER TABLE taskgate.bridge_entry DROP CONSTRAINT full_disk")
    await _until_adopted(bridge, tasks, pushed)
    assert await producer.dead() == []
    assert await producer.kept() == 0


async def test_what_cannot_be_stored_is_set_aside_whole(producer, bridge, tasks):
    group = secrets.token_hex(10_000)  # too long for an index
    await producer.push(group, content="x" * 200_000, project_id="p-moved")
    [raw] = await producer.queue.lrange(f"queue:group:{group}", 0, -1)
    behind = await producer.push()
    for _ in range(2):
        await bridge.tick()
    assert await tasks.adopted() == [behind["task_id"]]
    [entry] = [json.loads(entry) for entry in await producer.queue.lrange("taskgate:dead", 0, -1)]
    assert entry["reason"] == "cannot be stored: ProgramLimitExceededError"
    assert base64.b64decode(entry["payload"]) == raw


async def test_nothing_is_trimmed(producer, bridge):
    await producer.queue.rpush("taskgate:dead", *["{}"] * 10_005)
    await producer.push_raw("p-moved", b"no json")
    await bridge.tick()
    assert await producer.queue.llen("taskgate:dead") == 10_006
