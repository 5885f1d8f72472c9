"""An engine that accepts requests and answers none delays nobody's recovery on the other one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from backends.port import WorkflowStart
from backends.redis_queue.engine import RedisQueueEngine
from backends.temporal.engine import TemporalEngine
from gateway.bootstrap import Gateway, build_gateway
from gateway.recovery.lease import LOCK_CLASS
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import eventually

DUTIES = "SELECT kind FROM taskgate.engine_duty WHERE backend = 'temporal'"
IS_LOST = "SELECT lost_at IS NOT NULL FROM taskgate.process WHERE process_id = $1"


@pytest_asyncio.fixture
async def gateway(
    database: Database, redis_engine: RedisQueueEngine, distant_temporal: TemporalEngine, monkeypatch: Any
) -> AsyncIterator[Gateway]:
    """A whole one that has been leading for a while; the test makes its Temporal hang."""
    monkeypatch.setattr("gateway.recovery.reaper.RETURN_SECONDS", 0.0)
    engines = {"temporal": distant_temporal, "redis": redis_engine}
    gateway = build_gateway(Settings(database_url=database.url, grpc_enabled=False), engines=engines)
    gateway.router._flags = StaticFlags(Stage.OFF)
    await gateway.start()
    yield gateway
    await gateway.close()


@pytest_asyncio.fixture
async def lock(database: Database) -> AsyncIterator[Callable[[int], Awaitable[asyncpg.Connection]]]:
    """The session of a process that holds its lock; it ends with the process."""
    sessions: list[asyncpg.Connection] = []

    async def hold(lock_key: int) -> asyncpg.Connection:
        sessions.append(session := await asyncpg.connect(database.url))
        assert await session.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCK_CLASS, lock_key)
        return session

    yield hold
    for session in sessions:
        await session.close()


@pytest.mark.parametrize(
    ("pending", "host", "is_emptied"),
    [
        pytest.param(False, "elsewhere", False, id="nothing pending"),
        pytest.param(True, "elsewhere", False, id="a requeue pending"),
        pytest.param(True, "here", False, id="a requeue pending, the worker was on this host"),
        pytest.param(True, "here", True, id="a requeue pending, Redis has lost the task"),
    ],
)
async def test_a_worker_of_redis_is_lost_while_temporal_hangs(
    pending, host, is_emptied, database, gateway, transitions, new_task, new_lease, dead_here, queue, redis_engine,
    new_bench, temporal_proxy, distant_temporal, lock, start_of,
):  # fmt: skip
    """Temporal swallows all answers, perhaps with a requeue of its own pending. A worker on Redis dies: its task waits
    in Redis again within three seconds.
    """

    async def leads() -> bool:
        return bool(gateway.leader.leads)

    await eventually(leads, within=20)
    if pending:
        on_temporal = await new_task(backend="temporal")
        await distant_temporal.start_workflow(start_of(on_temporal))
        session = await lock(11)
        await new_lease("w-temporal", backend="temporal", lock_key=11, **dead_here)
        assert await transitions.claim(on_temporal, "temporal", 1, "w-temporal", with_payload=False)
    temporal_proxy.swallow_answers()
    if pending:
        await session.close()
        await eventually(lambda: database.fetchval(f"SELECT EXISTS ({DUTIES} AND kind = 'requeue')"), within=5)

    bench, session = await new_bench(), await lock(12)
    task = await new_task(backend="redis")
    start: WorkflowStart = start_of(task)
    await redis_engine.start_workflow(start)
    await bench.next()
    columns = dead_here if host == "here" else {}
    await new_lease(bench.worker_id, backend="redis", lock_key=12, **columns)
    assert await transitions.claim(task, "redis", 1, bench.worker_id, with_payload=False)
    await bench.kill()
    if is_emptied:
        await queue.flushall()
    assert await database.fetchval(IS_LOST, bench.worker_id) is False

    await session.close()

    await eventually(lambda: queue.llen("queue:group:g"), within=10)

    assert await database.fetchval(IS_LOST, bench.worker_id)
    if pending:
        assert await database.fetchval(f"SELECT EXISTS ({DUTIES} AND kind = 'requeue')")
    await temporal_proxy.restore()

    async def is_told() -> bool:
        return await database.fetchval(f"SELECT EXISTS ({DUTIES})") is False

    await eventually(is_told, within=20)
