"""A stopped task that is retried waits for its own engine's word, and for no other's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability
from gateway.access.placement import Placement, Tier
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.seed import seed
from gateway.submission.new_task import NewTask


@pytest.fixture
def legacy() -> MemoryEngine:
    """Its workers claim nothing: they run what they find."""
    return MemoryEngine(name="redis", capabilities=CAPABILITIES - {Capability.FENCED})


@pytest_asyncio.fixture
async def gateway(database: Database, legacy: MemoryEngine) -> AsyncIterator[Gateway]:
    """Everybody is on Redis; Temporal is away."""
    await seed(database.url)
    temporal = MemoryEngine(name="temporal")
    temporal.faults.unavailable = True
    engines = {"redis": legacy, "temporal": temporal}
    gateway = build_gateway(Settings(database_url=database.url, grpc_enabled=False), engines=engines)
    gateway.router._flags = StaticFlags(Stage.OFF)
    yield gateway
    await gateway.close()


async def test_many_cancels_of_an_engine_that_is_away_keep_no_retry_of_another_waiting(
    database: Database, gateway: Gateway, legacy: MemoryEngine, new_task: Any, until: Any
) -> None:
    for _ in range(100):
        await gateway.transitions.stop(await new_task(backend="temporal"))
    await gateway.start()
    task = NewTask("add_episode", "g", {}, Placement("initech", None, Tier.STANDARD, "standard"), None)
    await gateway.intake.submit([task])

    async def is_queued(epoch: int) -> bool:
        row = await database.fetchrow("SELECT state, epoch FROM taskgate.dispatch WHERE task_id = $1", task.task_id)
        return row is not None and tuple(row) == ("queued", epoch)

    await until(lambda: is_queued(1), 10)
    await gateway.transitions.stop(task.task_id)
    await gateway.transitions.retry(task.task_id)
    await until(lambda: is_queued(2), 4)
    assert [ref.epoch for ref in legacy.waiting if ref.task_id == task.task_id] == [2]
