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


@pytest.mark.parametrize(
    ("overlap", "outcome"),
    [("allow_all", "fired"), ("cancel_other", "fired"), ("skip", "skipped"), ("buffer_one", "skipped")],
)
async def test_a_long_backfill_that_waits_does_not_hold_up_the_clock(world: Any, overlap: str, outcome: str) -> None:
    schedule = await world.create(overlap=overlap)
    begin = world.time.now
    backfill = (begin - timedelta(hours=200), begin - timedelta(hours=1), Overlap.BUFFER_ALL)
    assert await world.schedules.backfill(schedule, world.caller, *backfill) == (200, 200)
    await world.pass_time()
    await world.pass_time(hours=1)
    assert (await world.history(schedule))[-1] == ("01:00", outcome)
    await world.end_tasks()
    await world.pass_time(seconds=1)
    assert sum(outcome == "pending" for _, outcome in await world.history(schedule)) >= 195


async def test_only_what_may_wait_is_skipped_as_too_much(world: Any) -> None:
    """The clock could not decide for long, and more times than may wait are to be decided."""
    schedule = await world.create({"every_seconds": 60}, overlap="allow_all")
    await world.pass_time()
    await world.database.execute(
        "INSERT INTO taskgate.firing (schedule_id, nominal_at, kind, overlap, outcome, fire_at)"
        " SELECT $1, $2::timestamptz - make_interval(mins => n), 'clock', 'allow_all', 'pending', $2::timestamptz"
        " FROM generate_series(1, 1200) AS n",
        schedule,
        world.time.now,
    )
    await world.pass_time(minutes=1)
    outcomes = await world.database.fetch("SELECT outcome, count(*) AS n FROM taskgate.firing GROUP BY outcome")
    assert {row["outcome"]: row["n"] for row in outcomes}.keys() == {"fired"}


async def test_a_backfill_is_bounded(world: Any) -> None:
    schedule = await world.create({"every_seconds": 1})
    now = world.time.now
    with pytest.raises(InvalidRequest, match="10000"):
        await world.schedules.backfill(schedule, world.caller, now - timedelta(hours=3), now, Overlap.SKIP)
    with pytest.raises(InvalidRequest, match="past"):
        await world.schedules.backfill(schedule, world.caller, now, now + timedelta(hours=1), Overlap.SKIP)
