"""Delayed tasks: the backend is chosen when they become due; they can be given another time until then, or stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.access.placement import Placement
from gateway.errors import TaskNotWaiting
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.submission.new_task import NewTask
from gateway.tasks.lifecycle.run_time import set_run_time
from workers.testing.waiting import eventually


@pytest.fixture
async def dispatching(make_world: Any, flags: Any) -> AsyncIterator[Any]:
    """A world whose dispatcher runs, and looks on its own every minute only."""
    async with make_world(flags=flags, dispatch_sweep_seconds=60) as world:
        running = asyncio.create_task(world.gateway.dispatcher.run())
        yield world
        running.cancel()


async def submit(world: Any, seconds: float) -> str:
    task = NewTask(
        task_type="probe",
        group_id="g",
        payload={},
        placement=Placement("acme", None, None),
        user_id="user-acme",
        not_before=datetime.now(UTC) + timedelta(seconds=seconds),
    )
    await world.gateway.intake.submit([task])
    return task.task_id


async def started_on(world: Any, task_id: str) -> str:
    query = "SELECT * FROM taskgate.dispatch WHERE task_id = $1"
    row = await eventually(lambda: world.database.fetchrow(query, task_id), lambda row: row["state"] == "queued")
    assert row["queued_at"] >= (row["not_before"] or row["created_at"])
    return str(row["backend"])


@pytest.mark.parametrize(("first", "then"), [(Stage.OFF, Stage.LIVE), (Stage.LIVE, Stage.OFF)])
async def test_a_flip_in_between(dispatching: Any, flags: Any, first: Stage, then: Stage) -> None:
    flags.put(Scope("acme"), first)
    task_id = await submit(dispatching, 0.5)
    flags.put(Scope("acme"), then)
    assert await started_on(dispatching, task_id) == ("temporal" if then is Stage.LIVE else "redis")


async def test_another_time(dispatching: Any) -> None:
    """Sooner and later; whoever waits for the old time is told of the new one."""
    sooner, later = await submit(dispatching, 3600), await submit(dispatching, 0.6)
    await set_run_time(dispatching.database, later, datetime.now(UTC) + timedelta(hours=1))
    await set_run_time(dispatching.database, sooner, datetime.now(UTC) + timedelta(seconds=0.6))
    assert await started_on(dispatching, sooner) == "redis"
    assert [task["state"] for task in await dispatching.tasks()] == ["queued", "waiting"]
    with pytest.raises(TaskNotWaiting):
        await set_run_time(dispatching.database, sooner, None)
    await set_run_time(dispatching.database, later, None)
    assert await started_on(dispatching, later) == "redis"


async def test_a_stopped_task_never_starts(dispatching: Any) -> None:
    stopped = await submit(dispatching, 0.3)
    await dispatching.gateway.transitions.stop(stopped)
    await started_on(dispatching, await submit(dispatching, 0.4))
    assert [task["state"] for task in await dispatching.tasks()] == ["stopped", "queued"]
