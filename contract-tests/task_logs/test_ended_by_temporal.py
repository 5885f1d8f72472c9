"""Timed out or reset in Temporal itself: `task_logs` says so within five seconds, and nothing runs unrecorded.

Temporal refuses to reset a standalone activity, or to give it other times ("operator commands are disabled"). So the
times are shortened in the start itself, and what is reset runs as it does on servers without standalone activities: as
a workflow of one activity. One stage stands for all those in which tasks are on Temporal: their starts are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import WorkflowExecutionStatus

from backends.temporal import starts
from contracts.operator import Operator
from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import PATIENCE, TRUTH, World
from workers.testing.waiting import until

#: Long enough for a worker to begin.
HASTE = timedelta(seconds=4)
#: Shorter than `ADMISSION_SECONDS`: a worker that polled before it was busy may be offered a task, and refuses it after
#: that time.
WAIT = timedelta(milliseconds=500)


@pytest.fixture(autouse=True)
def _one_stage(world: World) -> None:
    if world.stage != "live":
        pytest.skip("the same as at `live`")


@pytest_asyncio.fixture
async def in_workflows(world: World) -> AsyncIterator[str]:
    """The URL of a gateway that starts workflows of one activity."""
    async with world.another_gateway(temporal_standalone_activities=False) as url:
        yield url


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Called: from now on Temporal gives each start only so long in all; with `each`, only to each offer of it."""

    def hurry(limit: timedelta, *, each: bool = False) -> None:
        activity_request, workflow_request = starts.activity_request, starts.workflow_request

        async def hasty_activity(*args: Any) -> Any:
            request = await activity_request(*args)
            (request.start_to_close_timeout if each else request.schedule_to_close_timeout).FromTimedelta(limit)
            return request

        async def hasty_workflow(*args: Any) -> Any:
            request = await workflow_request(*args)
            request.workflow_execution_timeout.FromTimedelta(limit)
            return request

        monkeypatch.setattr(starts, "activity_request", hasty_activity)
        monkeypatch.setattr(starts, "workflow_request", hasty_workflow)

    return hurry


async def a_look(world: World, home: Household, operator: Operator, at: str) -> None:
    """Return when what ended in Temporal before this was judged: something that ended after it was."""
    task_id = await world.submit(home, at=at)
    await world.queued(task_id)
    await operator.terminate_workflow(task_id)
    assert (await world.ended(task_id))["status"] == "FAILED"


async def test_timed_out_while_it_waits(
    world: World, home: Household, operator: Operator, in_workflows: str, haste: Any
) -> None:
    async with world.jammed():
        haste(WAIT)
        task_ids = [await world.submit(home, at=at) for at in ("", in_workflows)]
        rows = [await world.ended(task_id) for task_id in task_ids]
    for task_id, row in zip(task_ids, rows, strict=True):
        closed = await operator.closed_at(task_id, workflow=task_id == task_ids[1])
        assert row["status"] == "FAILED"
        assert row["error_message"].startswith("Task timed out")
        assert timedelta() < row["completed_at"] - closed < TRUTH
        assert row["started_at"] is None
        assert await world.attempts(task_id) == []
        assert BOARD.runs[task_id] == 0


async def test_timed_out_while_it_runs(
    world: World, home: Household, operator: Operator, in_workflows: str, haste: Any
) -> None:
    """No worker says so: it is told, and its handler is cancelled."""
    haste(HASTE)
    async with world.held(home) as alone, world.held(home, at=in_workflows) as wrapped:
        for task_id, hold in (alone, wrapped):
            row = await world.ended(task_id)
            async with asyncio.timeout(PATIENCE):
                await hold.cancelled.wait()
            closed = await operator.closed_at(task_id, workflow=task_id == wrapped[0])
            assert row["status"] == "FAILED"
            assert row["error_message"].startswith("Task timed out")
            assert timedelta() < row["completed_at"] - closed < TRUTH
            # `lost`, when the worker heard it of Temporal before it heard it of the gateway.
            assert await world.attempts(task_id) in (["failed"], ["lost"])
            assert BOARD.runs[task_id] == 1


async def test_an_offer_that_times_out_is_made_again_and_refused_while_the_task_runs(
    world: World, home: Household, operator: Operator, haste: Any
) -> None:
    if not operator.standalone:
        pytest.skip("the workflow of one activity gives its offers their time itself")
    haste(timedelta(seconds=1), each=True)
    async with world.held(home) as (task_id, hold):
        await operator.offered(task_id, times=2)
        assert (await world.row(task_id))["status"] == "PROCESSING"
        hold.release()
        assert (await world.ended(task_id))["status"] == "COMPLETED"
    await ran_as_recorded(world, task_id)


async def ran_as_recorded(world: World, task_id: str) -> None:
    """Once for each recorded attempt; one of them completed, and others only if their worker gave them up."""
    *others, last = await world.attempts(task_id)
    assert last == "completed"
    assert set(others) <= {"lost"}
    assert BOARD.runs[task_id] == len(others) + 1


async def test_reset_while_it_waits(world: World, home: Household, operator: Operator, in_workflows: str) -> None:
    async with world.jammed():
        task_id = await world.submit(home, at=in_workflows)
        await world.queued(task_id)
        before = await world.row(task_id)
        await operator.reset(task_id)
        await a_look(world, home, operator, in_workflows)
        assert await world.row(task_id) == before
    row = await world.ended(task_id)
    assert row["status"] == "COMPLETED"
    assert await world.attempts(task_id) == ["completed"]
    assert BOARD.runs[task_id] == 1
    assert await operator.ended(task_id) is WorkflowExecutionStatus.COMPLETED


async def test_reset_while_it_runs(world: World, home: Household, operator: Operator, in_workflows: str) -> None:
    """What runs keeps its claim, so that the new run in Temporal waits for it, and takes its end for its own."""
    async with world.held(home, at=in_workflows) as (task_id, hold):
        await operator.reset(task_id)
        hold.release()
        assert (await world.ended(task_id))["status"] == "COMPLETED"
    assert await operator.ended(task_id) is WorkflowExecutionStatus.COMPLETED
    await ran_as_recorded(world, task_id)


async def test_reset_while_it_runs_for_longer(
    world: World, home: Household, operator: Operator, in_workflows: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With its next heartbeat the worker hears that its run is no more, which PostgreSQL knows better."""
    async with world.held(home, at=in_workflows) as (task_id, hold):
        await operator.reset(task_id)
        await until(lambda: "its run goes on" in caplog.text, within=PATIENCE)
        assert not hold.cancelled.is_set()
        hold.release()
        row = await world.ended(task_id)
    assert row["status"] == "COMPLETED"
    assert await world.attempts(task_id) == ["completed"]
    assert BOARD.runs[task_id] == 1
    assert await operator.ended(task_id) is WorkflowExecutionStatus.COMPLETED


async def test_reset_after_its_end(world: World, home: Household, operator: Operator, in_workflows: str) -> None:
    """What is over stays over: another run is had by a retry."""
    done = await world.submit(home, "report", at=in_workflows)
    failed = await world.submit(home, "fatal it must not be", at=in_workflows)
    async with world.jammed():
        stopped = await world.submit(home, at=in_workflows)
        await world.queued(stopped)
        await operator.begun(stopped)
        answer = await world.client(home.owner).post(f"/api/v1/tasks/{stopped}/stop")
        assert answer.status_code == 200
    rows = {}
    for task_id in (done, failed, stopped):
        rows[task_id] = await world.ended(task_id)
        await operator.ended(task_id)
        await operator.reset(task_id)
    ends = [await operator.ended(task_id) for task_id in rows]
    for task_id, row in rows.items():
        assert await world.row(task_id) == row
    assert ends[:2] == [WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.FAILED]
    assert ends[2] is not WorkflowExecutionStatus.COMPLETED
    assert [BOARD.runs[task_id] for task_id in rows] == [1, 1, 0]
