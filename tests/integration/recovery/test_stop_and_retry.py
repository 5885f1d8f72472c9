"""A stopped task that is retried waits for its own engine's word, and for no other's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability, WorkflowRef
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.seed import seed
from gateway.submission.new_task import NewTask
from workers.testing.waiting import eventually


@pytest.fixture
def legacy() -> MemoryEngine:
    """Its workers claim nothing: they run what they find."""
    return MemoryEngine(name="redis", capabilities=CAPABILITIES - {Capability.FENCED})


class HangingEngine(MemoryEngine):
    """Never answers a cancel."""

    async def cancel_workflow(self, ref: WorkflowRef, reason: str) -> bool:
        await asyncio.Event().wait()
        return False


def away() -> MemoryEngine:
    engine = MemoryEngine(name="temporal")
    engine.faults.unavailable = True
    return engine


@pytest_asyncio.fixture(params=["away", "not configured", "hanging"])
async def gateway(request: pytest.FixtureRequest, database: Database, legacy: MemoryEngine) -> AsyncIterator[Gateway]:
    """Everybody is on Redis; Temporal cannot be told anything."""
    await seed(database.url)
    engines: dict[str, MemoryEngine] = {"redis": legacy}
    if request.param != "not configured":
        engines["temporal"] = away() if request.param == "away" else HangingEngine(name="temporal")
    gateway = build_gateway(Settings(database_url=database.url, grpc_enabled=False), engines=engines)
    gateway.router._flags = StaticFlags(Stage.OFF)
    yield gateway
    await gateway.close()


async def test_many_cancels_of_temporal_keep_no_retry_on_redis_waiting(
    database: Database, gateway: Gateway, legacy: MemoryEngine, new_task: Any
) -> None:
    """A hundred cancels wait for Temporal. A task on Redis is stopped and retried: Redis has the new start, and no
    longer the old one, within seconds.
    """
    for _ in range(100):
        await gateway.transitions.stop(await new_task(backend="temporal"))
    await gateway.start()
    task = NewTask("add_episode", "g", {}, Placement("initech", None, "standard"), None)
    await gateway.intake.submit([task])

    async def holds(*epochs: int) -> bool:
        return [ref.epoch for ref in legacy.waiting if ref.task_id == task.task_id] == list(epochs)

    await eventually(lambda: holds(1), within=10)
    await gateway.transitions.stop(task.task_id)
    await gateway.transitions.retry(task.task_id)
    await eventually(lambda: holds(2), within=10)
    state = "SELECT state FROM taskgate.dispatch WHERE task_id = $1"

    async def is_queued() -> bool:
        return await database.fetchval(state, task.task_id) == "queued"

    await eventually(is_queued, within=10)
    assert await database.fetchval("SELECT count(*) FROM taskgate.engine_duty WHERE backend = 'temporal'") == 100
