"""An engine that cannot be reached, or whose answers are lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from backends.errors import EngineUnavailable, StartUncertain
from backends.port import WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start

_CALLS: dict[str, Callable[[WorkflowEnginePort], Awaitable[object]]] = {
    "start": lambda engine: engine.start_workflow(new_start()),
    "status": lambda engine: engine.get_workflow_status(new_start().ref),
    "result": lambda engine: engine.get_workflow_result(new_start().ref),
    "cancel": lambda engine: engine.cancel_workflow(new_start().ref, "stopped"),
    "requeue": lambda engine: engine.requeue_workflow(new_start().ref, "lost"),
    "incarnation": lambda engine: engine.get_incarnation(),
    "ended": lambda engine: engine.list_ended(datetime.now(UTC)),
    "health": lambda engine: engine.check_health(),
}


@pytest.mark.parametrize("call", sorted(_CALLS))
async def test_every_call_says_so(harness: EngineHarness, engine: WorkflowEnginePort, call: str) -> None:
    await harness.break_connection()
    with pytest.raises(EngineUnavailable):
        await _CALLS[call](engine)


async def test_an_engine_lost_while_connected_says_so(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    await engine.check_health()
    await harness.break_connection()
    with pytest.raises(EngineUnavailable):
        await engine.check_health()
    await harness.restore_connection()
    await engine.check_health()


async def test_a_start_that_never_arrived_does_not_run(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    never, other = new_start(), new_start()
    await engine.check_health()
    await harness.break_connection()
    # An engine that still believes in its connection may not know how far the start got.
    with pytest.raises((EngineUnavailable, StartUncertain)):
        await engine.start_workflow(never)
    await harness.restore_connection()
    await engine.start_workflow(other)
    running = await harness.receive()
    assert running.assignment.task_id == other.ref.task_id
    await harness.finish(running, Completed())
    assert await engine.get_workflow_status(never.ref) is None


async def test_a_start_whose_answer_is_lost_is_repeated_as_one(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    start, other = new_start(), new_start()
    await engine.check_health()
    await harness.lose_answers()
    with pytest.raises((StartUncertain, EngineUnavailable)) as raised:
        await engine.start_workflow(start)
    await harness.restore_connection()
    if raised.type is EngineUnavailable:
        assert await engine.get_workflow_status(start.ref) is None, "unavailable promises that nothing was done"
    await engine.start_workflow(start)
    await engine.start_workflow(other)
    taken = set()
    for _ in range(2):
        running = await harness.receive()
        taken.add(running.assignment.task_id)
        await harness.finish(running, Completed())
    assert taken == {start.ref.task_id, other.ref.task_id}


async def test_an_engine_can_be_closed_without_ever_being_reached(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    await harness.break_connection()
    await engine.close()
