"""The memory of an episode that is carried out as a DAG, when its run ends without success."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from contracts.people import Household
from gateway.access.placement import Caller
from gateway.bootstrap import Gateway
from gateway.dags.limits import Limits
from gateway.dags.steps import DagSteps
from gateway.storage.database import Database

ADMIN = Caller("ada", "k", is_admin=True, belongs_to=frozenset())

Begin = Callable[[], Awaitable[str]]


@pytest.fixture
async def steps(database: Database, changes: Any) -> DagSteps:
    return DagSteps(database, cast(Any, None), changes, Limits(), cast(Any, None))


@pytest.fixture
async def begin(database: Database, home: Household, steps: DagSteps, new_task: Any) -> Begin:
    """A run that has begun, and whose memory is marked so."""

    async def run() -> str:
        memory_id = "m1"
        await database.execute(
            "INSERT INTO memories (id, project_id, title, content, author_id, processing_status)"
            " VALUES ($1, $2, 'T', 'C', $3, 'PROCESSING')",
            memory_id,
            home.project_id,
            home.owner.user_id,
        )
        payload = {"content": "x", "memory_id": memory_id}
        task_id: str = await new_task(payload=payload, state="starting", backend="temporal", tenant_id=home.tenant_id)
        await database.execute("UPDATE taskgate.dispatch SET task_type = 'add_episode' WHERE task_id = $1", task_id)
        await steps.begin(task_id, 1)
        return task_id

    return run


async def status(database: Database) -> str:
    return str(await database.fetchval("SELECT processing_status FROM memories"))


async def test_a_run_that_fails(database: Database, begin: Begin, steps: DagSteps) -> None:
    """Whatever a step marked last: one may have begun when another had failed for good."""
    ended = await steps.finish(await begin(), 1, "failed", "boom")
    assert ended["outcome"] == "failed"
    assert await status(database) == "FAILED"


async def test_a_run_that_is_cancelled(database: Database, begin: Begin, gateway: Gateway) -> None:
    await gateway.dag_runs.cancel(await begin(), ADMIN)
    assert await status(database) == "FAILED"


async def test_a_run_that_is_stopped_as_a_task(
    database: Database, begin: Begin, gateway: Gateway, new_task: Any
) -> None:
    run_id = await begin()
    await database.execute(
        "INSERT INTO taskgate.dag_node (run_id, path, node, task_id) VALUES ($1, 'deduplicate', 'deduplicate', $2)",
        run_id,
        await new_task(state="running"),
    )
    await gateway.transitions.stop(run_id)
    await gateway.run_notifier._stop_abandoned()
    assert await status(database) == "FAILED"
