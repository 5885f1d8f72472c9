"""What only the in-memory engine can do; what every engine does is asked in `contract-tests/engine_port`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from backends.errors import AnswerLost, CapabilityMissing, EngineError, EngineUnavailable, StartRefused, StartUncertain
from backends.memory.engine import CAPABILITIES, MemoryEngine
from backends.memory.run import MemoryRun
from backends.port import Capability, WorkflowState
from workers.testing.starts import new_start


async def test_an_executor_runs_tasks_as_they_come() -> None:
    async def executor(run: MemoryRun) -> dict[str, int]:
        return {"attempt": run.attempt, "length": len(run.start.payload["content"])}

    engine = MemoryEngine(executor)
    start = new_start({"content": "four"})
    await engine.start_workflow(start)
    assert await engine.get_workflow_result(start.ref) == {"attempt": 1, "length": 4}


async def test_an_executors_exception_is_the_failure() -> None:
    async def executor(run: MemoryRun) -> None:
        raise ValueError("broken")

    engine = MemoryEngine(executor)
    start = new_start()
    await engine.start_workflow(start)
    with pytest.raises(EngineError, match="broken"):
        await engine.get_workflow_result(start.ref)
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert (status.state, status.error, status.attempt) == (WorkflowState.FAILED, "broken", 1)


async def test_slots_limit_what_runs_at_once() -> None:
    running = most = 0
    gate, both = asyncio.Event(), asyncio.Event()

    async def executor(run: MemoryRun) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            both.set()
        await gate.wait()
        running -= 1

    engine = MemoryEngine(executor, slots=2)
    starts = [new_start() for _ in range(5)]
    for start in starts:
        await engine.start_workflow(start)
    await both.wait()
    assert len(engine.waiting) == 3
    gate.set()
    await asyncio.gather(*(engine.get_workflow_result(start.ref) for start in starts))
    await engine.settled()
    assert most == 2


async def test_a_cancelled_executor_is_stopped() -> None:
    begun, undone = asyncio.Event(), asyncio.Event()

    async def executor(run: MemoryRun) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()

    engine = MemoryEngine(executor)
    start = new_start()
    await engine.start_workflow(start)
    await begun.wait()
    assert await engine.cancel_workflow(start.ref, "Task stopped by user")
    await engine.settled()
    assert undone.is_set()
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert (status.state, status.error) == (WorkflowState.CANCELLED, "Task stopped by user")


async def test_closing_ends_what_the_executor_runs() -> None:
    begun, undone = asyncio.Event(), asyncio.Event()

    async def executor(run: MemoryRun) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()

    engine = MemoryEngine(executor)
    await engine.start_workflow(new_start())
    await begun.wait()
    await engine.close()
    assert undone.is_set()


async def test_order_is_priority_then_arrival() -> None:
    engine = MemoryEngine()
    starts = [new_start(priority=priority) for priority in (3, 5, 1, 3)]
    for start in starts:
        await engine.start_workflow(start)
    assert engine.waiting == [starts[index].ref for index in (2, 0, 3, 1)]


async def test_without_the_capability_priority_means_nothing() -> None:
    engine = MemoryEngine(capabilities=CAPABILITIES - {Capability.PRIORITY})
    starts = [new_start(priority=priority) for priority in (3, 5, 1)]
    for start in starts:
        await engine.start_workflow(start)
    assert engine.waiting == [start.ref for start in starts]


async def test_without_the_capability_signals_are_missing() -> None:
    engine = MemoryEngine(name="redis", capabilities=frozenset())
    start = new_start()
    await engine.start_workflow(start)
    with pytest.raises(CapabilityMissing, match="redis"):
        await engine.signal_workflow(start.ref, "pause", {})


async def test_without_the_capability_a_running_task_is_not_reached() -> None:
    engine = MemoryEngine(capabilities=frozenset())
    start = new_start()
    await engine.start_workflow(start)
    run = await engine.receive()
    assert not await engine.cancel_workflow(start.ref, "stopped")
    assert not run.cancelled.is_set()


async def test_signals_arrive_in_order() -> None:
    engine = MemoryEngine()
    start = new_start()
    await engine.start_workflow(start)
    run = await engine.receive()
    for number in range(3):
        await engine.signal_workflow(start.ref, "step", number)
    assert [run.signals.get_nowait() for _ in range(3)] == [("step", 0), ("step", 1), ("step", 2)]


async def test_a_start_cancelled_before_it_came_never_runs() -> None:
    engine = MemoryEngine()
    start = new_start()
    assert not await engine.cancel_workflow(start.ref, "stopped")
    await engine.start_workflow(start)
    assert engine.receive_now() is None
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.CANCELLED


async def test_a_late_word_of_a_lost_worker_changes_nothing() -> None:
    engine = MemoryEngine()
    start = new_start()
    await engine.start_workflow(start)
    lost = await engine.receive("worker-1")
    assert await engine.release_worker("worker-1") == 1
    found = await engine.receive("worker-2")
    lost.complete({"from": "the lost one"})
    found.complete({"from": "the new one"})
    assert await engine.get_workflow_result(start.ref) == {"from": "the new one"}


async def test_a_task_given_back_with_a_pause_waits_for_it() -> None:
    engine = MemoryEngine()
    await engine.start_workflow(new_start())
    run = await engine.receive()
    run.give_back(timedelta(milliseconds=10))
    assert engine.receive_now() is None
    assert (await asyncio.wait_for(engine.receive(), 10)).attempt == 2


async def test_unavailable_means_that_nothing_was_done() -> None:
    engine = MemoryEngine()
    engine.faults.unavailable = True
    with pytest.raises(EngineUnavailable):
        await engine.start_workflow(new_start())
    engine.faults.unavailable = False
    assert engine.starts == []


async def test_a_lost_answer_means_that_it_was_done() -> None:
    engine = MemoryEngine()
    start = new_start()
    engine.faults.answers_lost = True
    with pytest.raises(StartUncertain):
        await engine.start_workflow(start)
    with pytest.raises(AnswerLost):
        await engine.cancel_workflow(start.ref, "stopped")
    engine.faults.answers_lost = False
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.CANCELLED


async def test_single_calls_can_be_made_to_fail() -> None:
    engine = MemoryEngine()
    engine.faults.fail_next("start_workflow", StartRefused("too large"))
    with pytest.raises(StartRefused, match="too large"):
        await engine.start_workflow(new_start())
    await engine.start_workflow(new_start())
    assert len(engine.starts) == 1


async def test_ended_starts_are_listed_by_time() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    engine = MemoryEngine(clock=lambda: now)
    start = new_start()
    await engine.start_workflow(start)
    (await engine.receive()).complete()
    assert [one.workflow_id for one in await engine.list_ended(now)] == [start.ref.workflow_id]
    assert await engine.list_ended(now + timedelta(seconds=1)) == []
