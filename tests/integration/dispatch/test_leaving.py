"""A backend that is down for too long has very many tasks: they leave it in pages, and come back in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from gateway.dispatch import starter as module
from gateway.dispatch.starter import PAGE, Starter
from gateway.storage.database import Database
from workers.testing.waiting import until

TASKS, RUNNING = 2 * PAGE + 10, 5
FILL = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, state, backend, epoch)
SELECT $2 || n, 'g', 't', 'tenant' || n % 5, $2, 'temporal', 1 FROM generate_series(1, $1::int) n
"""

POSTPONED = "UPDATE taskgate.dispatch SET due_at = now() + make_interval(secs => 6)"


class Counted:
    """Notes how many rows each statement has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changed: list[int] = []

    async def execute(self, query: str, *values: Any) -> str:
        tag = await self._database.execute(query, *values)
        self.changed.append(int(tag.rsplit(" ", 1)[-1]))
        return tag


@pytest.fixture
def starter_of() -> Callable[[Any], Starter]:
    return lambda database: Starter(
        database,
        {"temporal": MemoryEngine(name="temporal")},
        owner_id=lambda: "w1",
        concurrency=10,
        fallback_seconds=1.0,
        record_flag=None,
        wake=lambda: None,
        ended=lambda task_id: None,
    )


async def test_they_leave_in_pages(database: Database, starter_of: Callable[[Any], Starter]) -> None:
    """One statement over half a million tasks is cut off after eight seconds, each time: none would leave."""
    await database.execute(FILL, TASKS, "queued")
    await database.execute(FILL, RUNNING, "running")
    counted = Counted(database)
    starter = starter_of(counted)
    while await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'queued'"):
        await starter._leave(starter.lanes["temporal"])
    assert max(counted.changed) <= PAGE
    assert sum(counted.changed) == TASKS
    left = await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'running'")
    assert left == RUNNING
    assert await database.fetchval("SELECT count(*) FROM taskgate.engine_duty WHERE kind = 'cancel'") == TASKS


async def test_the_backend_is_probed_meanwhile(
    database: Database, starter_of: Callable[[Any], Starter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.0)
    await database.execute(FILL, TASKS, "queued")
    counted = Counted(database)
    starter = starter_of(counted)
    await starter._leave(starter.lanes["temporal"])
    assert counted.changed == [PAGE]


async def test_what_waits_for_a_backend_that_is_back_is_due_in_pages(
    database: Database, starter_of: Callable[[Any], Starter]
) -> None:
    """One statement over very many tasks is cut off after eight seconds."""
    await database.execute(FILL, TASKS, "waiting")
    await database.execute(POSTPONED)
    counted = Counted(database)
    starter = starter_of(counted)
    starter.lanes["temporal"].failed()
    running = asyncio.create_task(starter.run())
    try:
        await until(lambda: sum(counted.changed) == TASKS)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert counted.changed == [PAGE, PAGE, TASKS - 2 * PAGE]
