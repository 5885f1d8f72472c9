"""What a task costs in PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions
from gateway.tasks.queries.task_log import SQL

PLACES = "SELECT id, (ctid::text::point)[0]::int AS page FROM task_logs ORDER BY id"


async def test_a_claim_writes_its_version_into_the_same_page(
    database: Database,
    transitions: Transitions,
    new_task: Callable[..., Awaitable[str]],
    new_worker: Callable[..., Awaitable[str]],
) -> None:
    """So no index of `task_logs` hears of it: none has a column that a claim changes."""
    await new_worker()
    tasks = [await new_task(payload={"content": "x" * 400}) for _ in range(100)]
    before = {row["id"]: row["page"] for row in await database.fetch(PLACES)}
    for task in tasks:
        assert await transitions.claim(task, "redis", 1, "w1", with_payload=False) is not None
    after = {row["id"]: row["page"] for row in await database.fetch(PLACES)}
    assert len(set(before.values())) > 5
    assert after == before


@pytest.mark.parametrize(
    ("status", "index"),
    [
        ("COMPLETED", "taskgate_recent_finished"),
        ("FAILED", "taskgate_recent_finished"),
        ("PENDING", "taskgate_recent_open"),
        ("PROCESSING", "taskgate_recent_open"),
    ],
)
async def test_a_list_of_one_status_is_read_from_its_index(database: Database, status: str, index: str) -> None:
    """Also where that status is rare, and the newest rows have another one."""
    others = "PROCESSING" if index == "taskgate_recent_finished" else "COMPLETED"
    await database.execute(
        "INSERT INTO task_logs (id, status, created_at) SELECT 'x' || n, $1, now() FROM generate_series(1, 20000) n",
        others,
    )
    await database.execute("ANALYZE task_logs")
    statement = SQL.list_all.replace("/*columns*/", "t.id").replace("/*where*/", getattr(SQL, f"where_{status}"))
    plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {statement}", 50, 0))
    assert index in plan, plan
