"""Firings that somebody asks for: now, and those of the past."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.schedules.definition import Overlap


async def test_run_now(world: Any) -> None:
    schedule = await world.create()
    await world.change(schedule, paused=True)
    first = await world.schedules.run(schedule, world.caller, None)
    assert (first["outcome"], first["kind"], first["task_state"]) == ("fired", "manual", "starting")
    assert (await world.schedules.run(schedule, world.caller, None))["outcome"] == "skipped"
    again = await world.schedules.run(schedule, world.caller, Overlap.ALLOW_ALL)
    assert again["outcome"] == "fired"
    assert {task["task_id"] for task in await world.tasks()} == {first["task_id"], again["task_id"]}


async def test_a_backfill_fires_only_what_has_no_task(world: Any) -> None:
    schedule = await world.create(overlap="skip")
    begin = world.time.now
    await world.pass_time(hours=4)  # 01:00 fired, three skipped
    backfill = (schedule, world.caller, begin - timedelta(hours=2), begin + timedelta(hours=4), Overlap.ALLOW_ALL)
    assert await world.schedules.backfill(*backfill) == (7, 6)
    await world.pass_time()
    assert len(await world.tasks()) == 7
    assert await world.schedules.backfill(*backfill) == (7, 0)
    await world.pass_time()
    assert len(await world.tasks()) == 7
    assert {outcome for _, outcome in await world.history(schedule)} == {"fired"}


async def test_a_forgotten_firing_is_not_submitted_twice(world: Any) -> None:
    schedule = await world.create(overlap="allow_all")
    begin = world.time.now
    await world.pass_time(hours=3)
    await world.database.execute("DELETE FROM taskgate.firing")
    await world.schedules.backfill(schedule, world.caller, begin, world.time.now, Overlap.ALLOW_ALL)
    await world.pass_time()
    assert len(await world.tasks()) == 4  # and 00:00, before it was made
    assert {outcome for _, outcome in await world.history(schedule)} == {"fired"}
    assert "its task existed already" in await world.reasons(schedule)


async def test_a_backfill_is_bounded(world: Any) -> None:
    schedule = await world.create({"every_seconds": 1})
    now = world.time.now
    with pytest.raises(InvalidRequest, match="10000"):
        await world.schedules.backfill(schedule, world.caller, now - timedelta(hours=3), now, Overlap.SKIP)
    with pytest.raises(InvalidRequest, match="past"):
        await world.schedules.backfill(schedule, world.caller, now, now + timedelta(hours=1), Overlap.SKIP)
