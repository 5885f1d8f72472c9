"""A comparison that takes longer than a statement may: the others go on, and it rests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.port import Capability
from gateway.errors import DatabaseUnavailable
from gateway.recovery.reconciler import LONGEST_REST, SQL, Reconciler
from gateway.storage.database import Database

STATES = "SELECT task_id, state FROM taskgate.dispatch"
BEGAN = "UPDATE task_logs SET started_at = now(), worker_id = 'old-1' WHERE id = $1"
ENDED = "UPDATE task_logs SET status = 'COMPLETED', completed_at = now() WHERE id = $1"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def brief(database_url: str) -> AsyncIterator[Database]:
    """A statement that waits is cut off after a second."""
    database = Database(database_url, statement_timeout=1.0)
    yield database
    await database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def reconciler_of(database: Any, changes: Any, clock: Clock) -> Reconciler:
    engine = MemoryEngine(name="redis", capabilities=CAPABILITIES - {Capability.FENCED})
    return Reconciler(database, {"redis": engine}, changes, clock=clock)


async def test_the_others_are_carried_out(
    database: Database, brief: Database, changes: Any, new_task: Any, clock: Clock
) -> None:
    """As with a hundred thousand ended tasks to be merged at once: nothing else was reconciled meanwhile."""
    reconciler = reconciler_of(brief, changes, clock)
    began, ended = await new_task(), await new_task()
    await database.execute(BEGAN, began)
    await database.execute(ENDED, ended)
    async with database.transaction() as db:
        await db.execute("SELECT 1 FROM taskgate.dispatch WHERE task_id = $1 FOR UPDATE", began)
        await reconciler.tick()
        assert {row["task_id"]: row["state"] for row in await database.fetch(STATES)} == {
            began: "queued",
            ended: "completed",
        }
        assert changes.ids == [ended]
    for _ in range(3):
        await reconciler.tick()
        clock.now += 1
    await reconciler.tick()
    clock.now += LONGEST_REST
    for _ in range(10):
        await reconciler.tick()
    assert {row["task_id"]: row["state"] for row in await database.fetch(STATES)} == {
        began: "running",
        ended: "completed",
    }


async def test_one_that_was_cut_off_is_not_begun_again_at_once(
    database: Database, brief: Database, changes: Any, new_task: Any, clock: Clock
) -> None:
    asked: list[str] = []

    class Watched:
        async def fetch(self, query: str, *values: Any) -> Any:
            asked.append(query)
            return await brief.fetch(query, *values)

    reconciler = reconciler_of(Watched(), changes, clock)
    began = await new_task()
    async with database.transaction() as db:
        await db.execute("SELECT 1 FROM taskgate.dispatch WHERE task_id = $1 FOR UPDATE", began)
        await database.execute(BEGAN, began)
        await reconciler.tick()  # a complete one
        await reconciler.tick()  # a quick one, which has its own rest
        for _ in range(3):
            await reconciler.tick()
    assert asked.count(SQL.merge_started) == 2
    assert asked.count(SQL.merge_ended) == 5


async def test_what_was_merged_before_postgresql_was_gone_is_announced(
    database: Database, changes: Any, new_task: Any, clock: Clock
) -> None:
    class Away:
        async def fetch(self, query: str, *values: Any) -> Any:
            if query == SQL.restore_stopped:
                raise DatabaseUnavailable from ConnectionResetError()
            return await database.fetch(query, *values)

    task = await new_task()
    await database.execute(ENDED, task)
    reconciler = reconciler_of(Away(), changes, clock)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await reconciler.tick()
    assert changes.ids == [task]
