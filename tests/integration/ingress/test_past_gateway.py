"""What producers push past the gateway is counted, by tenant, and when it was seen is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from backends.redis_queue.engine import RedisQueueEngine
from gateway.ingress.foreign import SQL, ForeignWatch, PastGateway, past_gateway

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest_asyncio.fixture
async def engine(redis_server: str) -> AsyncIterator[RedisQueueEngine]:
    engine = RedisQueueEngine(redis_server, timeout=5)
    yield engine
    await engine.close()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def counted(database, *tenants: str) -> tuple[int, int, datetime | None]:
    found = await past_gateway(database, tenants or None)
    assert found.looked_at is not None
    return found.tasks, found.set_aside, found.last_at


async def seen(database) -> dict[str | None, str]:
    return {row["tenant_id"]: row["what"] for row in await database.fetch(SQL.last_seen, 86400.0)}


async def test_it_is_counted_by_tenant(producer, tasks, engine):
    for _ in range(3):
        await producer.push(timestamp=AT.timestamp())
    await producer.push("p-staying", tenant_id=None, project_id=None)  # its group says whose it is
    await producer.push("elsewhere", tenant_id="nobody", project_id=None)
    await producer.push_raw("p-moved", b"not JSON")
    database = tasks.database
    assert await past_gateway(database, None) == PastGateway()
    await ForeignWatch(database, engine, seconds=1).tick()
    assert (await counted(database, "staying"))[:2] == (1, 0)
    assert (await counted(database, "moved"))[:2] == (4, 0)
    assert (await counted(database))[:2] == (6, 0)
    assert await seen(database) == {"moved": "payload", "staying": "payload", None: "payload"}


async def test_the_last_one_is_named(producer, tasks, engine):
    await producer.push(timestamp=AT.timestamp() - 60)
    await producer.push(timestamp=AT.timestamp())
    await ForeignWatch(tasks.database, engine, seconds=1).tick()
    assert await counted(tasks.database, "moved") == (2, 0, AT)


async def test_what_the_bridge_set_aside_is_counted(producer, tasks, engine, bridge):
    await producer.push_raw("p-moved", b"not JSON")
    await bridge.tick()
    await ForeignWatch(tasks.database, engine, seconds=1).tick()
    assert await producer.dead() == ["not JSON"]
    assert (await counted(tasks.database, "moved"))[:2] == (0, 1)


async def test_it_is_gone_once_it_is_adopted(producer, tasks, engine, bridge):
    clock = Clock()
    watch = ForeignWatch(tasks.database, engine, seconds=5, clock=clock)
    await producer.push()
    await watch.tick()
    await bridge.tick()
    await watch.tick()  # not yet time to look again
    assert (await counted(tasks.database, "moved"))[:2] == (1, 0)
    clock.now += 5
    await watch.tick()
    assert (await counted(tasks.database, "moved"))[:2] == (0, 0)
    assert "moved" in await seen(tasks.database)


async def test_a_row_of_a_legacy_producer_is_seen_though_its_payload_was_never(tasks, engine, producer):
    await tasks.insert("t1", status="COMPLETED", created_at=datetime.now(UTC), payload='{"tenant_id": "staying"}')
    await ForeignWatch(tasks.database, engine, seconds=1).tick()
    assert await seen(tasks.database) == {"staying": "row"}


async def test_redis_away_leaves_what_was_seen(producer, tasks, engine):
    await producer.push()
    await ForeignWatch(tasks.database, engine, seconds=1).tick()
    away = RedisQueueEngine("redis://127.0.0.1:1/0", timeout=0.5)
    await ForeignWatch(tasks.database, away, seconds=1).tick()
    await away.close()
    assert (await counted(tasks.database, "moved"))[:2] == (1, 0)


@pytest.mark.parametrize("odd", [b"\xff", b'{"task_id": "a\\u0000", "task_type": "b\\u0000", "tenant_id": "\\u0000"}'])
async def test_what_cannot_be_stored_is_counted(producer, tasks, engine, odd):
    await producer.push_raw("elsewhere", odd)
    await ForeignWatch(tasks.database, engine, seconds=1).tick()
    assert (await counted(tasks.database))[:2] == (1, 0)
