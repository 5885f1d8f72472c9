"""Engines over real servers, with a proxy before one that a test makes grey, and leases of processes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.port import WorkflowRef, WorkflowStart
from backends.redis_queue.engine import RedisQueueEngine
from backends.temporal.engine import TemporalEngine
from contracts.world import Servers
from deploy.local.temporal_setup import ensure_namespace
from gateway.recovery.duties import EngineDuties
from gateway.recovery.lease import host_identity
from gateway.recovery.reaper import Reaper
from gateway.storage.database import Database
from workers.testing.proxy import FaultyProxy
from workers.testing.redis_worker import RedisWorkerBench

NewRow = Callable[..., Awaitable[str]]
#: A pid that no process of this host has.
NOBODY = 2**22 + 1


def _start_of(task_id: str, group_id: str = "g") -> WorkflowStart:
    ref = WorkflowRef(task_id, 1, group_id, "probe")
    return WorkflowStart(ref, {"group_id": group_id}, timedelta(seconds=600), queue="nobody-polls")


@pytest.fixture
def start_of() -> Callable[..., WorkflowStart]:
    """The first start of a task, in a group."""
    return _start_of


@pytest.fixture
def new_lease(database: Database, new_worker: NewRow) -> NewRow:
    """A process that has registered at this start of the server."""

    async def create(process_id: str = "w1", **columns: Any) -> str:
        await new_worker(process_id, **columns)
        await database.execute(
            "UPDATE taskgate.process SET server_started = pg_postmaster_start_time() WHERE process_id = $1", process_id
        )
        return process_id

    return create


@pytest_asyncio.fixture
async def fresh_servers(servers: Servers, temporal_server: str) -> Servers:
    """With a namespace of the test's own: a recovery counts all that Temporal remembers."""
    namespace = f"restored-{secrets.token_hex(4)}"
    await ensure_namespace(temporal_server, namespace)
    return replace(servers, temporal_namespace=namespace)


@pytest_asyncio.fixture
async def distant_redis(redis_proxy: FaultyProxy, queue: Redis) -> AsyncIterator[RedisQueueEngine]:
    """Through `redis_proxy`."""
    engine = RedisQueueEngine(f"redis://127.0.0.1:{redis_proxy.port}/0", timeout=5)
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def temporal_proxy(temporal_server: str) -> AsyncIterator[FaultyProxy]:
    host, port = temporal_server.split(":")
    proxy = FaultyProxy(host, int(port))
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest_asyncio.fixture
async def distant_temporal(temporal_proxy: FaultyProxy, temporal_namespace: str) -> AsyncIterator[TemporalEngine]:
    """Through `temporal_proxy`."""
    engine = TemporalEngine(f"127.0.0.1:{temporal_proxy.port}", temporal_namespace, timeout=5.0)
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def new_bench(queue: Redis, redis_server: str) -> AsyncIterator[Callable[[], Awaitable[RedisWorkerBench]]]:
    """Starts a worker on Redis; each ends with the test."""
    benches: list[RedisWorkerBench] = []

    async def start() -> RedisWorkerBench:
        benches.append(bench := RedisWorkerBench(redis_server))
        return await bench.start()

    yield start
    for bench in benches:
        await bench.close()


@pytest.fixture
def new_duties(database: Database) -> Callable[..., EngineDuties]:
    """What a gateway with these engines tells them."""
    return lambda *engines: EngineDuties(
        database, {engine.name: engine for engine in engines}, wake_dispatcher=lambda: None
    )


@pytest.fixture
def new_reaper(database: Database, changes: Any) -> Callable[..., Reaper]:
    return lambda on_duty=lambda: None: Reaper(
        database, changes, limit=15.0, grace=0.3, losses=5, wake=lambda: None, on_duty=on_duty
    )


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Callable[[Any], asyncio.Task[None]]]:
    """Begins loops, which end with the test."""
    tasks: list[asyncio.Task[None]] = []

    def begin(loop: Any) -> asyncio.Task[None]:
        tasks.append(task := asyncio.create_task(loop))
        return task

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def dead_here() -> dict[str, Any]:
    """Columns of a process that ran on this host and is gone."""
    return {"host": host_identity(), "pid": NOBODY}
