"""How long the rows of processes are kept, and the task types that they had handlers for."""

from __future__ import annotations

from typing import Any

from gateway.dags.limits import Limits
from gateway.dags.store import DagStore
from gateway.dispatch.queues import SQL as DISPATCH
from gateway.recovery.reaper import SQL
from gateway.storage.database import Database


async def known(database: Database) -> set[str]:
    """Task types of plug-ins; the dispatcher and the DAGs agree."""
    found = {row["task_type"] for row in await database.fetch(DISPATCH.known_types)}
    assert await DagStore(database, Limits(), known_types=()).known_types() == found
    return found


async def lost(database: Database, new_worker: Any, name: str, days: int, *task_types: str, **columns: Any) -> None:
    await new_worker(name, task_types=list(task_types), **columns)
    await database.execute(
        "UPDATE taskgate.process"
        " SET started_at = now() - interval '90 days', lost_at = now() - make_interval(days => $2)"
        " WHERE process_id = $1",
        name,
        days,
    )


async def test_the_types_of_a_worker_that_lives_stay_known(database: Database, new_worker: Any) -> None:
    """However long it has run."""
    await new_worker(task_types=["mine"])
    await database.execute("UPDATE taskgate.process SET started_at = now() - interval '90 days'")
    assert await known(database) == {"mine"}


async def test_types_are_known_for_30_days_after_their_last_worker(database: Database, new_worker: Any) -> None:
    await lost(database, new_worker, "w1", 29, "mine")
    await lost(database, new_worker, "w2", 31, "forgotten")
    await database.execute(SQL.forget_processes)
    assert await known(database) == {"mine"}


async def test_of_each_set_of_types_one_worker_is_remembered(database: Database, new_worker: Any) -> None:
    for n in range(8, 12):
        await lost(database, new_worker, f"a{n}", n, "a")
        await lost(database, new_worker, f"b{n}", n, "a", "b")
    await lost(database, new_worker, "young", 6, "a")
    await lost(database, new_worker, "g1", 8, kind="gateway")
    await database.execute(SQL.forget_processes)
    left = await database.fetch("SELECT process_id FROM taskgate.process ORDER BY process_id")
    assert [row["process_id"] for row in left] == ["a8", "b8", "young"]
