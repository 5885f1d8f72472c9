"""The bridge in a gateway: switched on by its setting, under the leader's lock, started where the flag says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from backends.redis_queue.engine import RedisQueueEngine
from gateway.bootstrap import build_gateway
from gateway.bootstrap.dependencies import build_dependencies
from gateway.bootstrap.recovery import build_bridge
from gateway.routing.flag_edit import with_stage
from gateway.routing.flag_file import FlagFile
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.settings import Settings


@pytest.fixture
def temporal() -> MemoryEngine:
    """In Temporal's place; it only keeps what was started."""
    return MemoryEngine(name="temporal")


@pytest.fixture
def flags_file(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    FlagFile(path, "task-backend").edit(
        lambda flag: with_stage(flag, Scope(tenant_id="moved"), Stage.LIVE),
        who="test",
        why="test",
        what="moved",
        describe=lambda _: "live",
    )
    return path


@asynccontextmanager
async def running(settings: Settings, engines: dict[str, Any]) -> AsyncIterator[None]:
    gateway = build_gateway(settings, engines=engines)
    await gateway.start()
    try:
        yield
    finally:
        await gateway.close()


async def test_a_pushed_task_is_started_where_its_tenant_is(producer, tasks, redis_server, temporal, flags_file):
    settings = Settings(
        database_url=tasks.database.url,
        redis_url=redis_server,
        flags_file=flags_file,
        ingress_bridge=True,
        ingress_bridge_seconds=0.05,
    )
    staying = await producer.push("p-staying", tenant_id="staying")
    moved = await producer.push()
    await tasks.insert(moved["task_id"])
    engines = {"redis": RedisQueueEngine(redis_server, timeout=5), "temporal": temporal}
    async with running(settings, engines), asyncio.timeout(20):
        start = (await temporal.receive()).start
    assert (start.ref.task_id, start.ref.epoch, start.tenant_id) == (moved["task_id"], 1, "moved")
    assert start.payload["content"] == moved["content"]
    assert await producer.waiting("p-staying") == [staying["task_id"]]


async def test_off_by_default(producer, tasks, redis_server, temporal, flags_file):
    settings = Settings(database_url=tasks.database.url, redis_url=redis_server, flags_file=flags_file)
    payload = await producer.push()
    await tasks.insert(payload["task_id"])
    engines = {"redis": RedisQueueEngine(redis_server, timeout=5), "temporal": temporal}
    bridge = build_bridge(build_dependencies(settings, engines), tasks.database, wake=lambda: None)
    assert bridge is not None
    for _ in range(3):
        await bridge.tick()
    await engines["redis"].close()
    assert await producer.waiting() == [payload["task_id"]]
    assert await tasks.adopted() == []
