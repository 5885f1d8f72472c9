"""Outcomes: what the engine does with what its worker says."""

from __future__ import annotations

from datetime import timedelta

from backends.port import WorkflowEnginePort, WorkflowState
from workers.outcome import Completed, Failed, Outcome, Refused, Stopped
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start


async def _is_offered_again(harness: EngineHarness, engine: WorkflowEnginePort, outcome: Outcome) -> bool:
    start, other = new_start(), new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), outcome)
    await engine.start_workflow(other)
    running = await harness.receive()
    await harness.finish(running, Completed())
    if running.assignment.task_id == start.ref.task_id:
        await harness.finish(await harness.receive(), Completed())
        return True
    return False


async def test_a_final_failure_is_not_offered_again(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    assert not await _is_offered_again(harness, engine, Failed("broken", "ValueError"))


async def test_a_stopped_task_is_not_offered_again(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    assert not await _is_offered_again(harness, engine, Stopped("Task stopped by user"))


async def test_a_refused_task_is_dropped(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    assert not await _is_offered_again(harness, engine, Refused("superseded"))


async def test_a_dropped_task_does_not_wait(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Refused("superseded"))
    status = await engine.get_workflow_status(start.ref)
    assert status is None or status.state.is_terminal


async def test_a_task_refused_for_now_is_offered_again(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Refused("held", retry_in=timedelta(milliseconds=1)))
    running = await harness.receive()
    assert running.assignment.task_id == start.ref.task_id
    await harness.finish(running, Completed())
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.COMPLETED
