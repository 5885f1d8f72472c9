"""A worker whose lease is lost takes nothing before it has a new one: nobody would give back what it held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from backends.port import WorkflowRef, WorkflowStart
from backends.redis_queue.engine import RedisQueueEngine
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.process import Worker
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import PATIENCE, eventually, until

#: Of the lease, and how long nothing may be taken (seconds); a worker looks at its lists every tenth of a second.
LEASE, NOTHING = 2.5, 1.0
LIVING = "SELECT process_id FROM taskgate.process WHERE kind = 'worker' AND lost_at IS NULL ORDER BY started_at DESC"


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[FaultyProxy]:
    """Between the worker and PostgreSQL."""
    address = urlsplit(database_url)
    proxy = FaultyProxy(address.hostname or "", address.port or 5432)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
def worker(proxy: FaultyProxy, database_url: str, redis_server: str) -> Worker:
    address = urlsplit(database_url)
    settings = Settings(
        database_url=database_url.replace(f"{address.hostname}:{address.port}", f"{proxy.host}:{proxy.port}"),
        redis_url=redis_server,
        handlers="workers.testing.misbehaving",
        lease_seconds=LEASE,
        worker_drain_seconds=0.2,
    )
    return Worker(settings, "redis", 2)


@pytest_asyncio.fixture
async def running(
    worker: Worker, proxy: FaultyProxy, database: Database, redis_engine: RedisQueueEngine
) -> AsyncIterator[asyncio.Task[None]]:
    """The worker runs; it has lost its lease, because PostgreSQL is away."""
    running = asyncio.create_task(worker.run())
    await eventually(lambda: database.fetchval(LIVING))
    await until(lambda: worker._lease.was_held)
    await proxy.refuse()
    name = worker._lease.process_id
    await until(lambda: worker._lease.process_id != name)
    yield running
    await proxy.restore()
    worker.stopping.set()
    await running


@pytest.mark.usefixtures("running")
async def test_it_takes_nothing_until_it_is_known(
    worker: Worker, proxy: FaultyProxy, database: Database, redis_engine: RedisQueueEngine, new_task: Any
) -> None:
    task = await new_task(backend="redis")
    await database.execute("UPDATE taskgate.dispatch SET task_type = 'sleep'")
    ref = WorkflowRef(task, 1, "g", "sleep")
    await redis_engine.start_workflow(WorkflowStart(ref, {}, timedelta(seconds=60), queue="default"))
    with pytest.raises(TimeoutError):
        await eventually(redis_engine.list_workers, within=NOTHING)
    await proxy.restore()
    await eventually(lambda: database.fetchval("SELECT state = 'completed' FROM taskgate.dispatch"))
    ran_on = await database.fetchval("SELECT worker_id FROM taskgate.attempt")
    assert ran_on == worker._lease.process_id == await database.fetchval(LIVING)


async def test_it_ends_when_it_is_told_although_it_waits(worker: Worker, running: asyncio.Task[None]) -> None:
    worker.stopping.set()
    async with asyncio.timeout(PATIENCE):
        await running
