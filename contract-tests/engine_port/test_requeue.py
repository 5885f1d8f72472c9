"""Requeueing: a lost worker's tasks run again, at once."""

from __future__ import annotations

import pytest

from backends.port import Capability, WorkflowEnginePort, WorkflowState, WorkflowStatus
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start
from workers.testing.waiting import eventually

pytestmark = pytest.mark.needs(Capability.REQUEUE)


async def test_a_lost_workers_task_runs_again(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.receive()
    await eventually(
        lambda: engine.get_workflow_status(start.ref),
        lambda status: status is not None and status.state is WorkflowState.RUNNING,
    )
    await harness.lose_worker()
    assert await engine.requeue_workflow(start.ref, "its worker was lost")
    running = await harness.receive()
    assert (running.assignment.task_id, running.assignment.epoch) == (start.ref.task_id, 1)
    await harness.finish(running, Completed({"n": 2}))
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.COMPLETED


async def test_it_runs_before_its_group(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    starts = [new_start(group_id="one-group") for _ in range(3)]
    for start in starts:
        await engine.start_workflow(start)
    # Not every engine hands out one queue in the order of the starts.
    lost = (await harness.receive()).assignment.task_id
    await harness.lose_worker()
    assert await engine.requeue_workflow(
        next(start.ref for start in starts if start.ref.task_id == lost), "its worker was lost"
    )
    taken = set()
    for _ in starts:
        running = await harness.receive()
        taken.add(running.assignment.task_id)
        await harness.finish(running, Completed())
    assert taken == {start.ref.task_id for start in starts}


async def test_said_again_it_takes_the_start_from_nobody_else(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    """The first answer was lost, and another worker was given the start since."""
    start, other = new_start(), new_start()
    await engine.start_workflow(start)
    await harness.receive()
    lost = harness.worker_id
    await harness.lose_worker()
    assert await engine.requeue_workflow(start.ref, "its worker was lost", held_by=lost)
    running = await harness.receive()
    assert await engine.requeue_workflow(start.ref, "its worker was lost", held_by=lost)
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.RUNNING
    await harness.finish(running, Completed({"n": 2}))
    assert await engine.get_workflow_result(start.ref) == {"n": 2}
    await engine.start_workflow(other)
    running = await harness.receive()
    assert running.assignment.task_id == other.ref.task_id, "no copy of the first was left"
    await harness.finish(running, Completed())


async def test_what_waits_still_waits(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start, other = new_start(), new_start()
    await engine.start_workflow(start)
    await engine.requeue_workflow(start.ref, "nobody claimed it")
    await engine.start_workflow(other)
    taken = set()
    for _ in range(2):
        running = await harness.receive()
        taken.add(running.assignment.task_id)
        await harness.finish(running, Completed())
    assert taken == {start.ref.task_id, other.ref.task_id}


async def test_an_unknown_start_is_not_held(engine: WorkflowEnginePort) -> None:
    assert not await engine.requeue_workflow(new_start().ref, "lost")


async def test_what_has_ended_is_not_held(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Completed())
    assert not await engine.requeue_workflow(start.ref, "lost")


async def test_releasing_a_worker_that_holds_nothing_is_harmless(engine: WorkflowEnginePort) -> None:
    assert await engine.release_worker("worker-nobody-knows") == 0


async def test_what_is_released_by_worker_runs_again(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.receive()
    worker_id = harness.worker_id
    await harness.lose_worker()
    assert await engine.list_held(worker_id) == [start.ref.workflow_id]
    assert await engine.release_worker(worker_id) == 1
    assert await engine.list_held(worker_id) == []
    running = await harness.receive()
    assert running.assignment.task_id == start.ref.task_id
    await harness.finish(running, Completed())


@pytest.mark.parametrize(
    "end",
    [
        WorkflowStatus(WorkflowState.COMPLETED),
        WorkflowStatus(WorkflowState.FAILED, "no luck"),
        WorkflowStatus(WorkflowState.CANCELLED, "stopped"),
    ],
    ids=lambda end: end.state.value,
)
async def test_what_a_lost_worker_had_ended_keeps_its_end(
    end: WorkflowStatus, harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    """It could tell the gateway, but no more the engine."""
    ended, other = new_start(), new_start()
    await engine.start_workflow(ended)
    await harness.receive()
    worker_id = harness.worker_id
    await harness.lose_worker()
    assert await engine.list_held(worker_id) == [ended.ref.workflow_id]
    assert await engine.release_worker(worker_id, {ended.ref: end}) == 0
    await engine.start_workflow(other)
    running = await harness.receive()
    assert running.assignment.task_id == other.ref.task_id
    status = await engine.get_workflow_status(ended.ref)
    assert status is not None
    assert (status.state, status.error) == (end.state, end.error)
    await engine.start_workflow(ended)
    await harness.finish(running, Completed())
    status = await engine.get_workflow_status(ended.ref)
    assert status is not None
    assert status.state is end.state
