"""What becomes of a task while a look that has chosen it goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.dispatch.open_starts import SQL
from gateway.storage.database import Database
from gateway.tasks.lifecycle.run_time import set_run_time

TASKS = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, created_at, state, due_at)
SELECT 'task-' || n, 'g', 't', 'acme', now(), 'waiting', now() FROM generate_series(1, 20) n
"""


@pytest.mark.parametrize(
    ("query", "values"), [(SQL.take_waiting, ([],)), (SQL.take_in_turn, ([], ["acme"]))], ids=["by time", "in turn"]
)
async def test_one_that_is_put_off_meanwhile_is_not_taken(
    database: Database, query: str, values: tuple[object, ...]
) -> None:
    await database.execute(TASKS)
    async with database.transaction() as db:
        cursor = await db.cursor(query, 20, *values)
        taken = [row["task_id"] for row in await cursor.fetch(1)]
        waiting = await database.fetch("SELECT task_id FROM taskgate.dispatch FOR UPDATE SKIP LOCKED")
        put_off = next(row["task_id"] for row in waiting)
        await set_run_time(database, put_off, datetime.now(UTC) + timedelta(hours=1))
        taken += [row["task_id"] for row in await cursor.fetch(20)]
    assert len(taken) == 19
    assert put_off not in taken
