"""Status: what the engine says of a start at each point of its life."""

from __future__ import annotations

from backends.port import WorkflowEnginePort, WorkflowRef, WorkflowState
from workers.outcome import Completed, Failed, Outcome, Stopped
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start, next_epoch
from workers.testing.waiting import eventually


async def _state(engine: WorkflowEnginePort, ref: WorkflowRef) -> WorkflowState | None:
    status = await engine.get_workflow_status(ref)
    return status.state if status else None


async def test_of_an_unknown_start_nothing_is_known(engine: WorkflowEnginePort) -> None:
    assert await engine.get_workflow_status(new_start().ref) is None


async def test_queued_then_running_then_completed(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    assert await _state(engine, start.ref) is WorkflowState.QUEUED
    running = await harness.receive()
    await eventually(lambda: _state(engine, start.ref), lambda state: state is WorkflowState.RUNNING)
    await harness.finish(running, Completed({"communities_count": 3}))
    assert await _state(engine, start.ref) is WorkflowState.COMPLETED


async def _end(harness: EngineHarness, engine: WorkflowEnginePort, outcome: Outcome) -> WorkflowRef:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), outcome)
    return start.ref


async def test_a_failure_tells_why(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    ref = await _end(harness, engine, Failed("No handler for task type 'ünknown'", "UnknownTaskType"))
    status = await engine.get_workflow_status(ref)
    assert status is not None
    assert status.state is WorkflowState.FAILED
    assert "No handler for task type 'ünknown'" in (status.error or "")


async def test_a_task_stopped_while_it_ran_is_over(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    ref = await _end(harness, engine, Stopped("Task stopped by user"))
    state = await _state(engine, ref)
    assert state is not None
    assert state.is_terminal
    assert state is not WorkflowState.COMPLETED


async def test_the_epochs_of_a_task_are_told_apart(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    ref = await _end(harness, engine, Failed("broken", "RuntimeError"))
    later = next_epoch(new_start())
    assert await engine.get_workflow_status(WorkflowRef(ref.task_id, 2, ref.group_id, ref.task_type)) is None
    await engine.start_workflow(later)
    assert await _state(engine, later.ref) is WorkflowState.QUEUED
    assert await engine.get_workflow_status(WorkflowRef(later.ref.task_id, 1, "g", "t")) is None
