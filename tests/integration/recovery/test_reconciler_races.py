"""A transition that is committed while the reconciler waits for its rows is seen whole, in both tables."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from contracts.locks import until_it_waits
from gateway.recovery.reconciler import SQL
from gateway.storage.database import Database
from gateway.tasks.lifecycle.foreign import ForeignTasks

CLAIMED = (
    "UPDATE taskgate.dispatch SET state = 'running', attempt = attempt + 1, worker_id = 'w1' WHERE task_id = $1",
    "UPDATE task_logs SET status = 'PROCESSING', started_at = now(), worker_id = 'w1' WHERE id = $1",
)
OPENED_AGAIN = (
    "UPDATE taskgate.dispatch SET state = 'queued', worker_id = NULL, finished_at = NULL WHERE task_id = $1",
    "UPDATE task_logs SET status = 'PROCESSING', started_at = NULL, worker_id = NULL, completed_at = NULL,"
    " stopped_at = NULL WHERE id = $1",
)
EVERYWHERE = ["redis", "temporal"]


@dataclass(frozen=True, slots=True)
class Race:
    """`log` is the row before; `committed` changes both rows while the statement waits."""

    sql: str
    arguments: tuple[Any, ...]
    log: str
    committed: tuple[str, str]
    state: str = "queued"
    ends: tuple[str, str] = ("queued", "PROCESSING")


RACES = {
    "merge_recovered beside a claim": Race(
        SQL.merge_recovered, (EVERYWHERE,), "status = 'PENDING'", CLAIMED, ends=("running", "PROCESSING")
    ),
    "merge_started beside a task opened again": Race(
        SQL.merge_started,
        (EVERYWHERE, None),
        "status = 'PROCESSING', started_at = now(), worker_id = 'old'",
        OPENED_AGAIN,
    ),
    "merge_ended beside a task opened again": Race(
        SQL.merge_ended, (EVERYWHERE, None), "status = 'FAILED', completed_at = now(), worker_id = 'old'", OPENED_AGAIN
    ),
    "restore_stopped beside a task opened again": Race(
        SQL.restore_stopped, (), "status = 'COMPLETED', completed_at = now()", OPENED_AGAIN, state="stopped"
    ),
    "restore_completed beside a task opened again": Race(
        SQL.restore_completed, (True,), "status = 'PENDING', started_at = now()", OPENED_AGAIN, state="completed"
    ),
}


@pytest.mark.parametrize("name", RACES)
async def test_what_was_committed_meanwhile_counts(
    database: Database, database_url: str, new_task: Any, new_worker: Any, name: str
) -> None:
    race = RACES[name]
    await new_worker("w1", backend="redis")
    task = await new_task(state=race.state)
    await database.execute("UPDATE taskgate.dispatch SET finished_at = now() WHERE state IN ('stopped', 'completed')")
    await database.execute(f"UPDATE task_logs SET {race.log} WHERE id = $1", task)
    reconciling = await asyncpg.connect(database_url)
    async with database.transaction() as transition:
        for change in race.committed:
            await transition.execute(change, task)
        merged = asyncio.create_task(reconciling.fetch(race.sql, *race.arguments))
        await until_it_waits(database, reconciling.get_server_pid(), merged)
    async with asyncio.timeout(10):
        assert await merged == []
    await reconciling.close()
    row = await database.fetchrow(
        "SELECT d.state, t.status FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id WHERE d.task_id = $1",
        task,
    )
    assert tuple(row or ()) == race.ends


async def test_an_adopted_row_is_no_recovered_one(database: Database) -> None:
    """A producer writes PENDING itself. Between adoption and claim that must not look like a legacy recovery."""
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, retry_count, progress, entity_id)"
        " VALUES ('pushed', 'g', 'probe', 'PENDING', 0, 0, 'e1')"
    )
    assert await ForeignTasks(database).adopt("pushed", "g", "probe", {"n": 1})
    assert await database.fetch(SQL.merge_recovered, EVERYWHERE) == []
    row = await database.fetchrow("SELECT status, started_at, entity_id FROM task_logs WHERE id = 'pushed'")
    assert tuple(row or ()) == ("PROCESSING", None, "e1")
