"""A look for starts to repeat that is cut off does not keep other tasks from their starts."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from backends.memory.engine import MemoryEngine
from gateway.dispatch.due_tasks import DueTasks
from gateway.dispatch.lane import Lane
from gateway.dispatch.open_starts import SQL
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database

WAITING = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state) VALUES ('waits', 'g', 'probe', 'waiting')
"""


class Slow:
    """PostgreSQL gives up what reads all open tasks."""

    def __init__(self, db: Any, error: type[Exception]) -> None:
        self._db = db
        self._error = error

    async def cursor(self, query: str, *values: Any) -> Any:
        if query == SQL.take_repeats:
            raise self._error
        return await self._db.cursor(query, *values)

    async def fetchval(self, query: str, full: list[str], ready: list[str]) -> Any:
        if ready:
            raise DatabaseUnavailable from self._error()
        return await self._db.fetchval(query, full, ready)


@pytest.fixture
def due() -> DueTasks:
    return DueTasks({"redis": Lane(MemoryEngine(name="redis"), concurrency=10)})


@pytest.mark.parametrize("error", [TimeoutError, asyncpg.QueryCanceledError])
async def test_waiting_tasks_have_their_turn(database: Database, due: DueTasks, error: type[Exception]) -> None:
    await database.execute(WAITING)
    async with database.transaction() as db:
        slow: Any = Slow(db, error)
        with pytest.raises(error):
            await due.take(slow)
        rows, _ = await due.take(slow)
        assert [row["task_id"] for row in rows] == ["waits"]


async def test_so_when_the_next_time_is_asked_for(database: Database, due: DueTasks) -> None:
    async with database.transaction() as db:
        slow: Any = Slow(db, asyncpg.QueryCanceledError)
        with pytest.raises(DatabaseUnavailable):
            await due.next_in(slow)
        assert await due.next_in(slow) is not None  # when the rest is over
