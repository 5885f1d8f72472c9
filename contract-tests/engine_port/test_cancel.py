"""Cancelling: tasks that wait, tasks that run, and everything else."""

from __future__ import annotations

import asyncio

import pytest

from backends.port import Capability, WorkflowEnginePort, WorkflowState
from workers.outcome import Completed, Stopped
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start
from workers.testing.waiting import eventually


async def test_a_waiting_task_is_taken_out(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    gone, other = new_start(), new_start()
    await engine.start_workflow(gone)
    assert await engine.cancel_workflow(gone.ref, "Task stopped by user")
    await engine.start_workflow(other)
    running = await harness.receive()
    assert running.assignment.task_id == other.ref.task_id
    await harness.finish(running, Completed())
    status = await engine.get_workflow_status(gone.ref)
    assert status is not None
    assert status.state is WorkflowState.CANCELLED


async def test_only_that_start_is_taken_out(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    starts = [new_start(group_id="one-group") for _ in range(3)]
    for start in starts:
        await engine.start_workflow(start)
    assert await engine.cancel_workflow(starts[1].ref, "stopped")
    taken = set()
    for _ in range(2):
        running = await harness.receive()
        taken.add(running.assignment.task_id)
        await harness.finish(running, Completed())
    assert taken == {starts[0].ref.task_id, starts[2].ref.task_id}


async def test_a_cancelled_start_stays_cancelled(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    gone, other = new_start(), new_start()
    await engine.start_workflow(gone)
    await engine.cancel_workflow(gone.ref, "stopped")
    await engine.cancel_workflow(gone.ref, "stopped again")
    await engine.start_workflow(gone)
    await engine.start_workflow(other)
    running = await harness.receive()
    assert running.assignment.task_id == other.ref.task_id
    await harness.finish(running, Completed())


async def test_of_an_unknown_start_there_is_nothing_to_cancel(engine: WorkflowEnginePort) -> None:
    assert not await engine.cancel_workflow(new_start().ref, "stopped")


async def test_what_has_ended_is_not_cancelled(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Completed())
    assert not await engine.cancel_workflow(start.ref, "stopped")
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.COMPLETED


@pytest.mark.needs(Capability.CANCEL_RUNNING)
async def test_a_running_task_is_asked_to_stop(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    running = await harness.receive()
    assert await engine.cancel_workflow(start.ref, "Task stopped by user")
    await asyncio.wait_for(running.cancelled.wait(), 60)
    await harness.finish(running, Stopped("Task stopped by user"))
    status = await eventually(
        lambda: engine.get_workflow_status(start.ref), lambda status: status is not None and status.state.is_terminal
    )
    assert status is not None
    assert status.state is WorkflowState.CANCELLED


async def test_a_running_task_may_still_complete(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    if Capability.CANCEL_RUNNING in engine.capabilities:
        pytest.skip(f"{engine.name} reaches running tasks")
    start = new_start()
    await engine.start_workflow(start)
    running = await harness.receive()
    assert not await engine.cancel_workflow(start.ref, "stopped")
    await harness.finish(running, Completed())
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.COMPLETED
