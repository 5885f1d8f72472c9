"""Withdrawing: what no worker was given is taken back for certain, and stays away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backends.errors import AnswerLost, CapabilityMissing, EngineUnavailable
from backends.port import Capability, WorkflowEnginePort
from workers.outcome import Completed
from workers.testing.harness import EngineHarness
from workers.testing.starts import new_start, next_epoch

withdraws = pytest.mark.needs(Capability.WITHDRAW)


async def test_an_engine_that_cannot_says_so(engine: WorkflowEnginePort) -> None:
    if Capability.WITHDRAW in engine.capabilities:
        pytest.skip(f"{engine.name} withdraws")
    start = new_start()
    await engine.start_workflow(start)
    with pytest.raises(CapabilityMissing):
        await engine.withdraw_not_begun([start.ref])


@withdraws
async def test_what_waits_is_taken_back_and_unknown(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    gone, stays = new_start(), new_start()
    await engine.start_workflow(gone)
    await engine.start_workflow(stays)
    assert await engine.withdraw_not_begun([gone.ref]) == [gone.ref]
    assert await engine.get_workflow_status(gone.ref) is None
    assert await engine.find_lost([gone.ref, stays.ref]) == [gone.ref]
    running = await harness.receive()
    assert running.assignment.task_id == stays.ref.task_id
    await harness.finish(running, Completed())


@withdraws
async def test_what_runs_or_ended_or_never_came_is_left_alone(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    ended, runs, never = new_start(), new_start(), new_start()
    await engine.start_workflow(ended)
    await harness.finish(await harness.receive(), Completed({"n": 1}))
    await engine.start_workflow(runs)
    running = await harness.receive()
    assert await engine.withdraw_not_begun([ended.ref, runs.ref, never.ref]) == []
    await harness.finish(running, Completed({"n": 2}))
    assert [await engine.get_workflow_result(one.ref) for one in (ended, runs)] == [{"n": 1}, {"n": 2}]
    await engine.start_workflow(never)
    assert (await harness.receive()).assignment.task_id == never.ref.task_id


@withdraws
async def test_asked_again_it_answers_the_same(engine: WorkflowEnginePort) -> None:
    """Whoever died with the answer is followed by somebody who asks."""
    start = new_start()
    await engine.start_workflow(start)
    for _ in range(2):
        assert await engine.withdraw_not_begun([start.ref]) == [start.ref]
    assert await engine.withdraw_not_begun([]) == []


@withdraws
async def test_a_late_repetition_of_the_start_does_not_bring_it_back(
    harness: EngineHarness, engine: WorkflowEnginePort
) -> None:
    start, other = new_start(), new_start()
    await engine.start_workflow(start)
    await engine.withdraw_not_begun([start.ref])
    await engine.start_workflow(start)
    await engine.start_workflow(other)
    assert (await harness.receive()).assignment.task_id == other.ref.task_id
    assert await engine.get_workflow_status(start.ref) is None


@withdraws
async def test_the_next_start_of_the_task_runs(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await engine.withdraw_not_begun([start.ref])
    await engine.start_workflow(next_epoch(start))
    running = await harness.receive()
    assert (running.assignment.task_id, running.assignment.epoch) == (start.ref.task_id, 2)
    assert await engine.withdraw_not_begun([start.ref]) == [start.ref]
    await harness.finish(running, Completed())


@withdraws
async def test_it_was_never_cancelled(engine: WorkflowEnginePort) -> None:
    """An end that the engine tells of would be taken for the task's."""
    start = new_start()
    await engine.start_workflow(start)
    began = datetime.now(UTC) - timedelta(minutes=1)
    await engine.withdraw_not_begun([start.ref])
    assert start.ref.workflow_id not in {ended.workflow_id for ended in await engine.list_ended(began)}


@withdraws
async def test_many_of_several_groups_at_once(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    starts = [new_start(group_id=f"withdrawn-{number % 3}") for number in range(450)]
    for start in starts:
        await engine.start_workflow(start)
    gone = [start.ref for start in starts if start is not starts[7]]
    assert set(await engine.withdraw_not_begun(gone)) == set(gone)
    assert (await harness.receive()).assignment.task_id == starts[7].ref.task_id


@withdraws
async def test_an_engine_that_is_away_did_nothing(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.break_connection()
    # An engine that still believes in its connection may not know how far the question got.
    with pytest.raises((EngineUnavailable, AnswerLost)):
        await engine.withdraw_not_begun([start.ref])
    await harness.restore_connection()
    assert (await harness.receive()).assignment.task_id == start.ref.task_id


@withdraws
async def test_a_lost_answer_is_asked_for_again(harness: EngineHarness, engine: WorkflowEnginePort) -> None:
    start = new_start()
    await engine.start_workflow(start)
    await harness.lose_answers()
    with pytest.raises((AnswerLost, EngineUnavailable)):
        await engine.withdraw_not_begun([start.ref])
    await harness.restore_connection()
    assert await engine.withdraw_not_begun([start.ref]) == [start.ref]
