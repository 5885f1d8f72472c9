"""A time that comes while the task of an earlier one is not over."""

from __future__ import annotations

from typing import Any

import pytest


async def test_skip(world: Any) -> None:
    schedule = await world.create()
    await world.pass_time(hours=1)
    await world.pass_time(hours=1)
    await world.end_tasks()
    await world.pass_time(hours=1)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "skipped"), ("03:00", "fired")]
    assert "is not over" in (await world.reasons(schedule))[1]


async def test_buffer_one(world: Any) -> None:
    schedule = await world.create(overlap="buffer_one")
    await world.pass_time(hours=3)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "pending"), ("03:00", "skipped")]
    await world.end_tasks()
    await world.pass_time(seconds=2)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "fired"), ("03:00", "skipped")]


async def test_buffer_all_goes_one_by_one(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.schedules.firing_loop.MOST_BUFFERED", 3)
    schedule = await world.create(overlap="buffer_all")
    await world.pass_time(hours=1)
    await world.pass_time(hours=4)
    outcomes = [outcome for _, outcome in await world.history(schedule)]
    assert outcomes == ["fired", "pending", "pending", "pending", "skipped"]
    for fired in (2, 3, 4):
        await world.end_tasks("failed")
        await world.pass_time(seconds=2)
        assert len(await world.tasks()) == fired
    assert (await world.reasons(schedule))[-1] == "3 firings wait already"


async def test_cancel_other(world: Any) -> None:
    schedule = await world.create(overlap="cancel_other")
    await world.pass_time(hours=1)
    await world.pass_time(hours=2)
    assert [task["state"] for task in await world.tasks()] == ["stopped", "starting"]
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "skipped"), ("03:00", "fired")]
    stopped = await world.database.fetchval("SELECT error_message FROM task_logs ORDER BY created_at LIMIT 1")
    assert stopped == "Task stopped by user"


async def test_a_pause_holds_what_is_buffered(world: Any) -> None:
    schedule = await world.create(overlap="buffer_all")
    await world.pass_time(hours=2)
    await world.change(schedule, paused=True)
    await world.end_tasks()
    await world.pass_time(seconds=5)
    assert len(await world.tasks()) == 1
    await world.change(schedule, paused=False)
    await world.pass_time()
    assert len(await world.tasks()) == 2
