"""Contract §2: retry, stop and cancel; each really does what it says (T1, T2)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from contracts.least import least
from contracts.people import Household
from contracts.probes import BOARD
from contracts.shapes import TASK, check, iso
from contracts.world import World

STOPPED = {"message": "Task marked as stopped"}
RETRIED = {"message": "Task retried successfully"}
NOT_FOUND = {"detail": "Task not found"}
NOT_STOPPABLE = {"detail": "Task can only be stopped if pending or processing"}
NOT_RETRYABLE = {"detail": "Task can only be retried if failed"}


async def post(world: World, home: Household, task_id: str, verb: str) -> tuple[int, Any]:
    answer = await world.client(home.owner).post(f"/api/v1/tasks/{task_id}/{verb}")
    return answer.status_code, answer.json()


async def show(world: World, home: Household, task_id: str) -> dict[str, Any]:
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")
    return dict(answer.json())


async def another_runs(world: World, home: Household) -> None:
    """A task that came after runs through: what was to run before has had its turn."""
    await world.ended(await world.submit(home))


@pytest.mark.parametrize("verb", ["stop", "cancel"])
async def test_stopping_a_task_that_waits_for_its_time(world: World, home: Household, verb: str) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    await world.flip()
    assert await post(world, home, task_id, verb) == (200, STOPPED)
    expected = {"status": "Failed", "error": "Task stopped by user", "completed_at": iso, "started_at": None}
    check(await show(world, home, task_id), {**TASK, **expected, "duration": "-"})
    assert (await world.row(task_id))["stopped_at"] is not None


@pytest.mark.parametrize("verb", ["stop", "cancel"])
async def test_a_queued_task_that_was_stopped_never_runs(world: World, home: Household, verb: str) -> None:
    """R9: legacy ran it all the same."""
    async with world.jammed():
        task_id = await world.submit(home)
        await world.flip()
        assert await post(world, home, task_id, verb) == (200, STOPPED)
        check(await show(world, home, task_id), {**TASK, "status": "Failed", "error": "Task stopped by user"})
    await another_runs(world, home)
    assert BOARD.runs[task_id] == 0
    check(await show(world, home, task_id), {**TASK, "status": "Failed", "error": "Task stopped by user"})


@pytest.mark.parametrize("verb", ["stop", "cancel"])
async def test_a_running_task_is_cancelled_in_its_handler_within_a_second(
    world: World, home: Household, verb: str
) -> None:
    async def cancel() -> float:
        async with world.held(home) as (task_id, hold):
            await world.flip()
            began = time.monotonic()
            assert await post(world, home, task_id, verb) == (200, STOPPED)
            await hold.until_cancelled()
            took = time.monotonic() - began
        expected = {"status": "Failed", "error": "Task stopped by user", "completed_at": iso, "started_at": iso}
        check(await show(world, home, task_id), {**TASK, **expected})
        await another_runs(world, home)
        assert BOARD.runs[task_id] == 1
        return took

    assert await least(cancel, 1.0) < 1.0


async def test_a_handler_that_ignores_its_cancellation_changes_nothing_more(world: World, home: Household) -> None:
    async with world.held(home, stubborn=True) as (task_id, hold):
        assert await post(world, home, task_id, "stop") == (200, STOPPED)
        await hold.until_cancelled()
        await world.flip()
    await another_runs(world, home)
    expected = {"status": "Failed", "error": "Task stopped by user", "completed_at": iso}
    check(await show(world, home, task_id), {**TASK, **expected})


async def test_what_is_over_cannot_be_stopped(world: World, home: Household) -> None:
    for do in ("", "fatal"):
        task_id = await world.submit(home, do)
        await world.flip()
        before = await world.ended(task_id)
        assert await post(world, home, task_id, "stop") == (400, NOT_STOPPABLE)
        assert await post(world, home, task_id, "cancel") == (400, NOT_STOPPABLE)
        assert await world.row(task_id) == before


async def test_a_task_is_stopped_once(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    answers = await asyncio.gather(*(post(world, home, task_id, verb) for verb in ("stop", "cancel", "stop")))
    assert sorted(answers, key=str) == [(200, STOPPED), (400, NOT_STOPPABLE), (400, NOT_STOPPABLE)]


async def test_a_failed_task_runs_again(world: World, home: Household) -> None:
    """T1: legacy answered 400 to every retry."""
    task_id = await world.submit(home, "fatal again and again")
    await world.ended(task_id)
    await world.flip()
    assert await post(world, home, task_id, "retry") == (200, RETRIED)
    await world.ended(task_id)
    assert BOARD.runs[task_id] == 2
    check(await show(world, home, task_id), {**TASK, "status": "Failed", "error": "again and again", "retries": 1})
    dispatch = await world.dispatch(task_id)
    assert dispatch["backend"] == ("redis" if str(world.flag.stage()) == "off" else "temporal")


async def test_a_retried_task_waits_like_a_new_one(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fatal")
    await world.ended(task_id)
    await world.flip()
    async with world.jammed():
        assert await post(world, home, task_id, "retry") == (200, RETRIED)
        expected = {
            "status": "Pending",
            "error": None,
            "started_at": None,
            "completed_at": None,
            "worker_id": "-",
            "progress": 0,
            "retries": 1,
            "duration": "-",
        }
        check(await show(world, home, task_id), {**TASK, **expected})
        assert await post(world, home, task_id, "retry") == (400, NOT_RETRYABLE)
    await world.ended(task_id)
    assert BOARD.runs[task_id] == 2


async def test_a_stopped_task_can_be_retried(world: World, home: Household) -> None:
    async with world.held(home) as (task_id, hold):
        assert await post(world, home, task_id, "stop") == (200, STOPPED)
        await hold.cancelled.wait()
    await world.flip()
    assert await post(world, home, task_id, "retry") == (200, RETRIED)
    await world.ended(task_id)
    check(await show(world, home, task_id), {**TASK, "status": "Completed", "error": None, "retries": 1})
    assert (await world.row(task_id))["stopped_at"] is None
    assert BOARD.runs[task_id] == 2


async def test_two_retries_at_once_are_one(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fatal")
    await world.ended(task_id)
    await world.flip()
    answers = await asyncio.gather(*(post(world, home, task_id, "retry") for _ in range(2)))
    assert sorted(answers, key=str) == [(200, RETRIED), (400, NOT_RETRYABLE)]
    await world.ended(task_id)
    await another_runs(world, home)
    assert BOARD.runs[task_id] == 2


async def test_what_did_not_fail_cannot_be_retried(world: World, home: Household) -> None:
    waiting = await world.submit(home, delay_seconds=3600)
    completed = await world.submit(home)
    before = await world.ended(completed)
    async with world.held(home) as (running, _):
        await world.flip()
        for task_id in (waiting, completed, running):
            assert await post(world, home, task_id, "retry") == (400, NOT_RETRYABLE)
    assert await world.row(completed) == before


@pytest.mark.parametrize("verb", ["retry", "stop", "cancel"])
async def test_an_unknown_task(world: World, home: Household, verb: str) -> None:
    assert await post(world, home, "6f1c2c1e-0000-4000-8000-000000000000", verb) == (404, NOT_FOUND)
