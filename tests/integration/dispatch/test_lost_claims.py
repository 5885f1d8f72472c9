"""A claim is committed and nobody takes it up: the task runs, once, on either backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.port import WorkflowRef, WorkflowStart
from backends.redis_queue.engine import RedisQueueEngine
from backends.temporal.engine import TemporalEngine
from contracts.world import Servers
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.process import Worker
from workers.testing.proxy import FaultyProxy

PATIENCE = 30.0


@asynccontextmanager
async def working(worker: Worker, database: Database) -> AsyncIterator[None]:
    """The worker takes tasks in this block, and drains at its end."""
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(PATIENCE):
        while not await database.fetchval("SELECT count(*) FROM taskgate.process WHERE kind = 'worker'"):
            await asyncio.sleep(0.02)
    try:
        yield
    finally:
        worker.stopping.set()
        await running


@pytest.fixture(params=["redis", "temporal"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def engine(backend: str, servers: Servers) -> AsyncIterator[Any]:
    if backend == "redis":
        async with Redis.from_url(servers.redis_url) as client:
            await client.flushall()
        engine: Any = RedisQueueEngine(servers.redis_url, timeout=5)
    else:
        engine = TemporalEngine(servers.temporal_address, servers.temporal_namespace, timeout=5)
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def proxy(servers: Servers) -> AsyncIterator[FaultyProxy]:
    """Between the worker and PostgreSQL."""
    address = urlsplit(servers.database_url)
    proxy = FaultyProxy(address.hostname or "", address.port or 5432)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
def worker(backend: str, servers: Servers, proxy: FaultyProxy) -> Worker:
    address = urlsplit(servers.database_url)
    through = servers.database_url.replace(f"{address.hostname}:{address.port}", f"127.0.0.1:{proxy.port}")
    settings = Settings(
        database_url=through,
        redis_url=servers.redis_url,
        temporal_address=servers.temporal_address,
        temporal_namespace=servers.temporal_namespace,
        handlers="workers.testing.misbehaving",
        worker_drain_seconds=0.2,
    )
    return Worker(settings, backend, 3)


@pytest.fixture
def start(database: Database, new_task: Any, backend: str, engine: Any) -> Any:
    """Starts a task of a type on its engine; its id."""

    async def start(task_type: str, **payload: Any) -> str:
        task = str(await new_task(backend=backend))
        await database.execute("UPDATE taskgate.dispatch SET task_type = $2 WHERE task_id = $1", task, task_type)
        ref = WorkflowRef(task, 1, f"g-{task}", task_type)
        queue = "default" if backend == "redis" else f"shared-{task_type}"
        await engine.start_workflow(WorkflowStart(ref, payload, timedelta(seconds=60), queue=queue))
        return task

    return start


async def ended(database: Database, *tasks: str) -> None:
    """Every one of these is over."""
    query = "SELECT count(*) FROM taskgate.dispatch WHERE task_id = ANY ($1) AND finished_at IS NULL"
    async with asyncio.timeout(PATIENCE):
        while await database.fetchval(query, list(tasks)):
            await asyncio.sleep(0.02)


async def outcomes(database: Database, task: str) -> list[str]:
    rows = await database.fetch("SELECT outcome FROM taskgate.attempt WHERE task_id = $1 ORDER BY attempt", task)
    return [row["outcome"] for row in rows]


async def test_a_claim_whose_answer_is_lost(
    database: Database, backend: str, worker: Worker, proxy: FaultyProxy, start: Any, tmp_path: Any
) -> None:
    transitions, lost = worker._dependencies.transitions, asyncio.Event()
    claim = transitions.claim

    async def first(task_id: str, *args: Any, **more: Any) -> Any:
        """The request arrives and commits, and the connection is cut before its answer has come."""
        if lost.is_set():
            return await claim(task_id, *args, **more)
        await claim("nobody", *args, **more)  # the statement is prepared, the connection there
        lost.set()
        proxy.swallow_answers()
        asking = asyncio.create_task(claim(task_id, *args, **more))
        async with asyncio.timeout(PATIENCE):
            while await database.fetchval("SELECT state FROM taskgate.dispatch") != "running":
                await asyncio.sleep(0.01)
        assert not asking.done()
        await proxy.restore()
        return await asking

    transitions.claim = first  # type: ignore[method-assign]
    async with working(worker, database):
        task = await start("sleep", journal=str(tmp_path / "journal"))
        await ended(database, task)
    assert await outcomes(database, task) == ["completed"]
    assert (tmp_path / "journal").read_text().count('"start"') == 1


async def test_a_row_that_nobody_here_runs(database: Database, backend: str, worker: Worker, start: Any) -> None:
    """Its claim came late: whoever had asked was gone."""
    async with working(worker, database):
        task = await start("wait_for_word", word="/never")
        async with asyncio.timeout(PATIENCE):
            while await database.fetchval("SELECT state FROM taskgate.dispatch") != "running":
                await asyncio.sleep(0.01)
        other = await database.fetchval(
            "INSERT INTO task_logs (id, group_id, task_type, status, progress, retry_count)"
            " VALUES ('orphan', 'g', 'sleep', 'PROCESSING', 0, 0) RETURNING id"
        )
        await database.execute(
            "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, epoch, attempt, worker_id)"
            " SELECT $1, 'g', 'sleep', 'running', $2, 1, 1, worker_id FROM taskgate.dispatch WHERE task_id = $3",
            *(other, backend, task),
        )
        await database.execute(
            "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id)"
            " SELECT task_id, attempt, epoch, backend, worker_id FROM taskgate.dispatch WHERE task_id = $1",
            other,
        )
        async with asyncio.timeout(5):
            while await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = 'orphan'") == "running":
                await asyncio.sleep(0.02)
        assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", task) == "running"
