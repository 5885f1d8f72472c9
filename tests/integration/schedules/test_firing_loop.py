"""Schedules over virtual time: each time fires once, late or not at all, and history says why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from workers.testing.waiting import eventually


async def test_it_fires_at_its_times(world: Any) -> None:
    schedule = await world.create(action={"type": "probe", "payload": {"a": [1]}, "priority": 2}, overlap="allow_all")
    await world.pass_time(minutes=59)
    assert await world.tasks() == []
    await world.pass_time(minutes=1)
    await world.pass_time(hours=1)
    first, second = await world.tasks()
    assert (first["tenant_id"], first["user_id"], first["priority"]) == ("acme", "user-acme", 2)
    assert first["schedule_id"] == second["schedule_id"] == schedule
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "fired")]
    payload = await world.database.fetchval("SELECT payload->>'a' FROM task_logs WHERE id = $1", first["task_id"])
    assert payload == "[1]"


async def test_the_backend_is_that_of_the_moment(make_world: Any, flags: Any) -> None:
    async with make_world(flags=flags) as world:
        await world.create(overlap="allow_all")
        await world.pass_time(hours=1)
        flags.put(Scope("acme"), Stage.LIVE)
        await world.pass_time(hours=1)
        flags.put(Scope("acme"), Stage.OFF)
        await world.pass_time(hours=1)
        assert [task["backend"] for task in await world.tasks()] == ["redis", "temporal", "redis"]


async def test_after_an_outage_of_hours_it_catches_up(world: Any) -> None:
    schedule = await world.create(overlap="allow_all")
    await world.pass_time(hours=5, minutes=30)
    assert await world.history(schedule) == [(f"0{hour}:00", "fired") for hour in range(1, 6)]
    assert len(await world.tasks()) == 5


async def test_what_is_too_old_is_one_line_of_history(world: Any) -> None:
    schedule = await world.create(overlap="allow_all", catch_up_seconds=7200)
    await world.pass_time(hours=50)
    assert await world.history(schedule) == [
        ("01:00", "missed"),
        ("00:00", "fired"),
        ("01:00", "fired"),
        ("02:00", "fired"),
    ]
    [missed, *_] = reversed(await world.schedules.history(schedule, world.caller, before=None, limit=9))
    assert missed["until_at"] == world.time.now - timedelta(hours=2)
    assert "7200" in missed["reason"]


async def test_a_long_outage_of_a_busy_schedule(world: Any) -> None:
    """More times than one transaction notes."""
    schedule = await world.create({"every_seconds": 1}, catch_up_seconds=350)
    await world.pass_time(days=3)
    history = await world.history(schedule)
    assert [outcome for _, outcome in history] == ["missed", "fired", *["skipped"] * 350]
    assert len(await world.tasks()) == 1


async def test_remaining_runs(world: Any) -> None:
    schedule = await world.create(overlap="allow_all", remaining_runs=2)
    await world.pass_time(hours=5)
    assert len(await world.tasks()) == 2
    after = await world.schedules.get(schedule, world.caller)
    assert (after.definition.remaining_runs, after.next_at) == (0, None)
    await world.pass_time(hours=5)
    assert len(await world.tasks()) == 2
    await world.change(schedule, remaining_runs=1)
    await world.pass_time(hours=2)
    assert len(await world.tasks()) == 3


async def test_start_and_end(world: Any) -> None:
    schedule = await world.create(
        overlap="allow_all", start_at="2026-01-01T02:00:00Z", end_at="2026-01-01T03:59:00Z", catch_up_seconds=86400
    )
    await world.pass_time(hours=9)
    assert await world.history(schedule) == [("02:00", "fired"), ("03:00", "fired")]
    assert (await world.schedules.get(schedule, world.caller)).fire_at is None


async def test_jitter_delays_the_firing_not_its_name(world: Any) -> None:
    schedule = await world.create(jitter_seconds=600)
    [(nominal, fire_at)] = world.schedules.upcoming(await world.schedules.get(schedule, world.caller), 1)
    assert timedelta(0) < fire_at - nominal < timedelta(minutes=10)
    world.time.now = fire_at - timedelta(milliseconds=1)
    await world.pass_time()
    assert await world.tasks() == []
    await world.pass_time(milliseconds=1)
    assert await world.history(schedule) == [("01:00", "fired")]


async def test_a_change_does_not_lose_what_waits_for_its_jitter(world: Any) -> None:
    schedule = await world.create(jitter_seconds=3000)
    [(nominal, _)] = world.schedules.upcoming(await world.schedules.get(schedule, world.caller), 1)
    world.time.now = nominal + timedelta(microseconds=1)
    await world.change(schedule, name="other", jitter_seconds=0.0)
    await world.pass_time()
    assert await world.history(schedule) == [("01:00", "fired")]


async def test_daylight_saving(world: Any) -> None:
    schedule = await world.create({"cron": "30 2 * * *"}, timezone="Europe/Berlin", overlap="allow_all")
    for day in (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)):
        await world.change(schedule, paused=True)
        world.time.now = day
        await world.change(schedule, paused=False)
        await world.database.execute("DELETE FROM taskgate.firing")
        for _ in range(2 * 48):
            await world.pass_time(minutes=30)
        nominal = [time for time, _ in await world.history(schedule)]
        # 03:00 summer time on 29 March; the first 02:30 on 25 October.
        assert nominal == (["01:30", "01:00"] if day.month == 3 else ["00:30", "00:30"])


async def test_pause_and_resume(world: Any) -> None:
    schedule = await world.create(overlap="allow_all")
    await world.pass_time(hours=1)
    await world.change(schedule, paused=True, note="why")
    await world.pass_time(hours=5)
    assert len(await world.tasks()) == 1
    await world.change(schedule, paused=False)
    await world.pass_time(hours=1)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "missed"), ("07:00", "fired")]
    assert (await world.reasons(schedule))[1] == "paused"


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_pause_between_a_time_and_its_firing(world: Any, renamed: bool) -> None:
    """Neither of them was inside it."""
    schedule = await world.create(jitter_seconds=3000, overlap="allow_all")
    [(nominal, fire_at)] = world.schedules.upcoming(await world.schedules.get(schedule, world.caller), 1)
    step = (fire_at - nominal) / 4
    world.time.now = nominal + step
    await world.change(schedule, paused=True)
    world.time.now += step
    if renamed:
        await world.change(schedule, name="other")
    world.time.now += step
    await world.change(schedule, paused=False)
    after = await world.schedules.get(schedule, world.caller)
    assert (after.next_at, after.fire_at) == (nominal, fire_at)
    assert [time for time, _ in world.schedules.upcoming(after, 1)] == [nominal]
    await world.pass_time()
    assert await world.history(schedule) == []
    world.time.now = fire_at
    await world.pass_time()
    assert await world.history(schedule) == [("01:00", "fired")]


@pytest.mark.parametrize("looked", [False, True])
async def test_a_firing_inside_a_pause_is_missed(world: Any, looked: bool) -> None:
    schedule = await world.create(jitter_seconds=3000, overlap="allow_all")
    [(nominal, fire_at)] = world.schedules.upcoming(await world.schedules.get(schedule, world.caller), 1)
    world.time.now = nominal + (fire_at - nominal) / 2
    await world.change(schedule, paused=True)
    world.time.now = fire_at
    if looked:
        await world.pass_time()
    await world.change(schedule, paused=False)
    await world.pass_time(seconds=1)
    assert await world.history(schedule) == [("01:00", "missed")]


async def test_a_time_inside_a_pause_is_missed(world: Any) -> None:
    """Although its firing is not; what is missed ends with the pause, whatever was changed in it."""
    schedule = await world.create(jitter_seconds=3000, overlap="allow_all")
    [(nominal, fire_at)] = world.schedules.upcoming(await world.schedules.get(schedule, world.caller), 1)
    await world.change(schedule, paused=True)
    world.time.now = nominal + (fire_at - nominal) / 4
    await world.change(schedule, name="other")
    assert await world.history(schedule) == []
    world.time.now = nominal + (fire_at - nominal) / 2
    await world.change(schedule, paused=False)
    world.time.now = fire_at
    await world.pass_time()
    [missed] = await world.schedules.history(schedule, world.caller, before=None, limit=9)
    assert (missed["nominal_at"], missed["outcome"]) == (nominal, "missed")
    assert missed["until_at"] == nominal + (fire_at - nominal) / 2


async def test_one_that_cannot_be_read_stands_in_nobodys_way(world: Any) -> None:
    broken = await world.create()
    await world.database.execute("UPDATE taskgate.schedule SET definition = '{}' WHERE schedule_id = $1", broken)
    for _ in range(5):
        await world.create()
    await world.pass_time(hours=1)
    assert len(await world.tasks()) == 5


async def test_the_clock_wakes_for_the_next_time(world: Any) -> None:
    """The real clock: a schedule that is due in a moment fires without anybody looking."""
    world.gateway.clock.now = lambda: datetime.now(UTC)
    running = asyncio.create_task(world.gateway.clock.run())
    try:
        await world.create({"every_seconds": 1})
        world.gateway.clock.wake()
        await eventually(world.tasks)
    finally:
        running.cancel()


async def test_a_schedule_whose_statements_postgresql_gives_up_does_not_hold_up_others(world: Any) -> None:
    refused, other = await world.create(name="refused"), await world.create(name="other")
    await world.database.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57014'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON taskgate.schedule
            FOR EACH ROW WHEN (OLD.schedule_id = '{refused}') EXECUTE FUNCTION refuse()
        """
    )
    await world.pass_time(hours=1)
    assert await world.history(refused) == []
    assert await world.history(other) == [("01:00", "fired")]
