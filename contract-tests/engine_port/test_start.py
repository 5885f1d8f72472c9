"""Starting: what arrives at the worker, and that a repeated start is one start."""

from __future__ import annotations

import pytest

from backends.port import WorkflowEnginePort, WorkflowState
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start, next_epoch


async def test_the_worker_is_given_the_task(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    running = await harness.receive()
    given = running.assignment
    assert (given.task_id, given.task_type, given.group_id) == (
        start.ref.task_id,
        start.ref.task_type,
        start.ref.group_id,
    )
    assert given.backend == engine.name
    assert given.epoch == 1
    await harness.finish(running, Completed())


@pytest.mark.parametrize(
    "payload",
    [
        {"content": 'Grüße, 你好, 🙂, \u2028, \x7f, "quoted", back\\slash'},
        {"nothing": None, "yes": True, "no": False, "empty": [], "nested": {"a": [{"b": {}}]}},
        {"large": 2**62, "negative": -(2**62), "fraction": 0.1, "tiny": 5e-324},
        {"content": "x" * 100_000},
    ],
    ids=["text", "shapes", "numbers", "long"],
)
async def test_a_payload_arrives_unchanged(
    harness: EngineHarness, engine: WorkflowEnginePort, payload: dict[str, object]
) -> None:
    start = new_start(payload)
    await engine.start_workflow(start)
    running = await harness.receive()
    given = running.assignment.payload
    # An engine may send a reference instead; the worker then reads the payload where it claims the task.
    assert given is None or {key: given.get(key) for key in start.payload} == start.payload
    assert given is None or "dispatch_epoch" not in given
    await harness.finish(running, Completed())


async def test_a_payload_beyond_any_message_limit_still_starts(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    start = new_start({"content": "x" * 5_000_000})
    await engine.start_workflow(start)
    running = await harness.receive()
    assert running.assignment.task_id == start.ref.task_id
    await harness.finish(running, Completed())


async def test_a_type_nobody_knows_reaches_a_worker(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start(task_type="no_such_type")
    await engine.start_workflow(start)
    running = await harness.receive()
    assert running.assignment.task_type == "no_such_type"
    await harness.finish(running, Completed())


async def test_a_repeated_start_is_one_start(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    twice, other = new_start(), new_start()
    await engine.start_workflow(twice)
    await engine.start_workflow(twice)
    await engine.start_workflow(other)
    taken = set()
    for _ in range(2):
        running = await harness.receive()
        taken.add(running.assignment.task_id)
        await harness.finish(running, Completed())
    assert taken == {twice.ref.task_id, other.ref.task_id}


async def test_a_start_repeated_while_it_runs_is_the_same_start(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    start, other = new_start(), new_start()
    await engine.start_workflow(start)
    running = await harness.receive()
    await engine.start_workflow(start)
    await harness.finish(running, Completed())
    await engine.start_workflow(other)
    running = await harness.receive()
    assert running.assignment.task_id == other.ref.task_id
    await harness.finish(running, Completed())


async def test_a_start_repeated_after_its_end_does_not_run_again(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    start, other = new_start(), new_start()
    await engine.start_workflow(start)
    await harness.finish(await harness.receive(), Completed())
    await engine.start_workflow(start)
    await engine.start_workflow(other)
    running = await harness.receive()
    assert running.assignment.task_id == other.ref.task_id
    await harness.finish(running, Completed())


async def test_each_epoch_is_a_start_of_its_own(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    first = new_start()
    second = next_epoch(first)
    for start in (first, second):
        await engine.start_workflow(start)
        running = await harness.receive()
        assert (running.assignment.task_id, running.assignment.epoch) == (start.ref.task_id, start.ref.epoch)
        await harness.finish(running, Completed())
    for start in (first, second):
        status = await engine.get_workflow_status(start.ref)
        assert status is not None
        assert status.state is WorkflowState.COMPLETED
