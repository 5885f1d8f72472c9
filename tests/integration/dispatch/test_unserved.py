"""Which tasks wait on a backend where no live worker takes their type, as readiness counts them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from backends.temporal.names import UNREGISTERED_QUEUE
from gateway.dispatch.unserved import lines, unserved
from gateway.storage.database import Database

NewRow = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture
async def tenants(database: Database) -> None:
    """`acme`, whose tasks pool A runs, and `umbrella`, whose tasks pool C runs."""
    await database.execute(
        "INSERT INTO users (id, email, name) VALUES ('u', 'u@example.org', 'u');"
        "INSERT INTO tenants (id, name, owner_id, plan) VALUES ('acme', 'Acme', 'u', 'enterprise'),"
        " ('umbrella', 'Umbrella', 'u', 'free')"
    )


async def test_tasks_of_types_and_pools_without_a_worker(
    database: Database, new_task: NewRow, new_worker: NewRow, tenants: None
) -> None:
    for tenant_id in ("acme", "acme", "umbrella"):
        await new_task(backend="temporal", tenant_id=tenant_id)
    assert dict(await unserved(database)) == {("probe", "temporal"): 3}
    await new_worker("w1", backend="temporal", task_types=["probe"], pool="C")
    found = await unserved(database)
    assert dict(found) == {("probe", "temporal"): 2}
    assert lines(found) == ["no live worker serves `probe` on temporal: 2 tasks"]
    await new_worker("w2", backend="temporal", task_types=["other"])
    await new_worker("w3", backend="temporal", task_types=["probe"], lost_at=datetime.now(UTC))
    assert dict(await unserved(database)) == {("probe", "temporal"): 2}
    await new_worker("w4", backend="temporal", task_types=["probe"], pool="A")
    assert not await unserved(database)


async def test_what_any_worker_takes(database: Database, new_task: NewRow, new_worker: NewRow) -> None:
    """Types without a handler, which fail there, and runs of DAGs."""
    await new_task(backend="temporal", queue=UNREGISTERED_QUEUE)
    run = await new_task(backend="temporal")
    await database.execute("UPDATE taskgate.dispatch SET task_type = 'taskgate.dag' WHERE task_id = $1", run)
    assert dict(await unserved(database)) == {("probe", "temporal"): 1, ("taskgate.dag", "temporal"): 1}
    await new_worker("w1", backend="temporal", task_types=["other"], pool="A")
    assert dict(await unserved(database)) == {("probe", "temporal"): 1}
    await new_worker("w2", backend="temporal", task_types=["other"])
    assert not await unserved(database)


async def test_what_legacy_workers_may_yet_take_is_not_counted(database: Database, new_task: NewRow) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=2)
    await new_task(queued_at=datetime.now(UTC))
    begun = await new_task(queued_at=long_ago)
    await database.execute("UPDATE task_logs SET started_at = now(), worker_id = 'legacy' WHERE id = $1", begun)
    assert not await unserved(database)
    await new_task(queued_at=long_ago)
    found = await unserved(database)
    assert lines(found) == ["no live worker serves `probe` on redis (legacy workers are not seen): 1 task"]
