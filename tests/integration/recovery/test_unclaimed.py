"""What an engine has handed out and nobody has claimed: a lost worker keeps it for no longer than a living one may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from backends.memory.run import MemoryRun
from backends.port import WorkflowRef, WorkflowStart, WorkflowStatus
from gateway.recovery import engine_check, unclaimed
from gateway.recovery.engine_check import FULL_EVERY, EngineCheck
from gateway.recovery.unclaimed import CLAIM_SECONDS, Unclaimed
from gateway.tasks.lifecycle.transitions import Transitions


class ClaimedMeanwhile(MemoryEngine):
    """A worker claims what it was handed while the engine is asked about it."""

    claim: Callable[[str], Awaitable[Any]] | None = None

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus | None:
        status = await super().get_workflow_status(ref)
        if self.claim is not None:
            await self.claim(ref.task_id)
        return status


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def engine() -> ClaimedMeanwhile:
    return ClaimedMeanwhile(name="temporal")


@pytest.fixture
def handed_out(engine: ClaimedMeanwhile, new_task: Any, new_worker: Any) -> Callable[[], Awaitable[MemoryRun]]:
    """A task that waits here for its claim, and that the engine has just handed to the worker."""

    async def hand_out() -> MemoryRun:
        task_id = await new_task(backend="temporal")
        await engine.start_workflow(WorkflowStart(WorkflowRef(task_id, 1, "g", "probe"), {}, timedelta(seconds=600)))
        return await engine.receive(await new_worker())

    return hand_out


async def claimed(transitions: Transitions, task_id: str) -> None:
    assert await transitions.claim(task_id, "temporal", 1, "w1", with_payload=False)


@pytest.mark.parametrize("seconds", [0.0, CLAIM_SECONDS])
async def test_a_task_that_is_claimed_while_the_engine_is_asked_stays_with_its_worker(
    database, engine, handed_out, transitions, changes, monkeypatch, seconds
):
    """Its healthy run was cancelled at its next heartbeat, and made a second time."""
    monkeypatch.setattr(engine_check, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(unclaimed, "CLAIM_SECONDS", seconds)
    run = await handed_out()
    check = EngineCheck(database, engine, changes, is_down=lambda _: False, wake=lambda: None)

    async def claim(task_id: str) -> None:
        engine.claim = None
        await claimed(transitions, task_id)

    engine.claim = claim
    for _ in range(FULL_EVERY):
        await check.check_open()
    assert run.is_current


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def starts(database: Any, engine: ClaimedMeanwhile, clock: Clock) -> Unclaimed:
    return Unclaimed(database, engine, clock=clock)


async def test_what_a_lost_worker_never_claimed_is_handed_out_anew(starts, engine, handed_out, clock):
    run = await handed_out()
    starts.note(run.start.ref, 0, run.attempt)
    await starts.requeue()
    assert run.is_current, "it may be just receiving it"
    clock.now = CLAIM_SECONDS
    starts.note(run.start.ref, 0, run.attempt)
    await starts.requeue()
    assert engine.waiting == [run.start.ref]


async def test_what_is_claimed_at_the_second_look_stays(starts, engine, handed_out, clock, transitions):
    run = await handed_out()
    starts.note(run.start.ref, 0, run.attempt)
    clock.now = CLAIM_SECONDS
    engine.claim = lambda task_id: claimed(transitions, task_id)
    await starts.requeue()
    assert run.is_current


async def test_an_attempt_that_follows_has_its_own_time(starts, engine, handed_out, clock):
    """A worker without a free slot gave it back, and another one is just receiving it."""
    run = await handed_out()
    starts.note(run.start.ref, 0, run.attempt)
    run.give_back()
    run = await engine.receive("w2")
    clock.now = CLAIM_SECONDS
    await starts.requeue()
    assert run.is_current
    starts.note(run.start.ref, 0, run.attempt)
    await starts.requeue()
    assert run.is_current
    clock.now += CLAIM_SECONDS
    await starts.requeue()
    assert not run.is_current


async def test_a_run_that_was_handed_back_is_told_by_its_worker(starts, handed_out, clock, transitions):
    """The worker is about to tell the engine of the same attempt, perhaps with a pause."""
    run = await handed_out()
    starts.note(run.start.ref, 0, run.attempt)
    await claimed(transitions, run.start.ref.task_id)
    assert await transitions.hand_back(run.start.ref.task_id, 1)
    clock.now = CLAIM_SECONDS
    await starts.requeue()
    assert run.is_current


async def test_what_the_engine_cannot_be_asked_about_is_left(starts, engine, handed_out, clock):
    run = await handed_out()
    starts.note(run.start.ref, 0, run.attempt)
    clock.now = CLAIM_SECONDS
    engine.faults.unavailable = True
    await starts.requeue()
    assert run.is_current
