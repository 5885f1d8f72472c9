"""Schedules over virtual time: each time fires once, late or not at all, and history says why."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.errors import ApiError, InvalidRequest, ScheduleNotFound
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.schedules.definition import Overlap


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
    monkeypatch.setattr("gateway.schedules.clock.MOST_BUFFERED", 3)
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


async def test_a_refusal_is_recorded(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotas refuse in intake; here one that lets two of three pass."""
    schedule = await world.create(overlap="allow_all")
    submit, passed = world.gateway.intake.submit, []

    class Refusal(ApiError):
        """Too many."""

        code = "quota_exceeded"

    async def refusing(tasks: Any, **more: Any) -> Any:
        if len(passed) + len(tasks) > 2:
            raise Refusal
        result = await submit(tasks, **more)
        passed.extend(tasks)
        return result

    monkeypatch.setattr(world.gateway.intake, "submit", refusing)
    await world.pass_time(hours=3)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "fired"), ("03:00", "refused")]
    assert (await world.reasons(schedule))[2] == "quota_exceeded: Too many."
    assert len(await world.tasks()) == 2


async def test_refusals_do_not_wait_for_what_is_buffered(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Firings of the past wait for a task; those of now are refused one by one all the same."""
    schedule = await world.create(overlap="allow_all")
    begin = world.time.now
    await world.pass_time(hours=1)
    await world.schedules.backfill(schedule, world.caller, begin - timedelta(hours=3), begin, Overlap.BUFFER_ALL)

    async def refusing(tasks: Any, **more: Any) -> Any:
        if tasks:
            raise ApiError("full")
        return await submit(tasks, **more)

    submit = world.gateway.intake.submit
    monkeypatch.setattr(world.gateway.intake, "submit", refusing)
    await world.pass_time(hours=3)
    assert [outcome for _, outcome in await world.history(schedule)] == [*["pending"] * 4, "fired", *["refused"] * 3]


async def test_it_acts_with_the_rights_its_owner_has_now(world: Any) -> None:
    schedule = await world.create(action={"type": "probe", "project_id": "acme-project"}, overlap="allow_all")
    await world.pass_time(hours=1)
    await world.database.execute("UPDATE users SET is_active = false WHERE id = 'user-acme'")
    await world.pass_time(hours=1)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "refused")]
    assert "forbidden" in (await world.reasons(schedule))[1]


async def test_nobody_else_sees_it(world: Any) -> None:
    schedule = await world.create()
    stranger = (await world.gateway.access.admit_user("user-globex")).caller
    for ask in (
        world.schedules.get(schedule, stranger),
        world.schedules.delete(schedule, stranger),
        world.schedules.run(schedule, stranger, None),
        world.schedules.history(schedule, stranger, before=None, limit=1),
        world.schedules.backfill(schedule, stranger, world.time.now, world.time.now, Overlap.SKIP),
        world.schedules.change(schedule, stranger, lambda before: before),
    ):
        with pytest.raises(ScheduleNotFound):
            await ask
    assert await world.schedules.page(stranger, tenant_id=None, project_id=None, after="", limit=9) == []
    assert await world.schedules.page(stranger, tenant_id="acme", project_id=None, after="", limit=9) == []


async def test_one_that_cannot_be_read_stands_in_nobodys_way(world: Any) -> None:
    broken = await world.create()
    await world.database.execute("UPDATE taskgate.schedule SET definition = '{}' WHERE schedule_id = $1", broken)
    for _ in range(5):
        await world.create()
    await world.pass_time(hours=1)
    assert len(await world.tasks()) == 5


async def test_two_gateways_fire_each_time_once(make_world: Any) -> None:
    async with make_world() as one, make_world(one.time) as other:
        names = [await one.create({"every_seconds": 60}, overlap="allow_all") for _ in range(10)]
        for _ in range(5):
            one.time.now += timedelta(minutes=2)
            await asyncio.gather(one.gateway.clock.tick(), other.gateway.clock.tick())
        await one.gateway.clock.tick()
        assert len(await one.tasks()) == 10 * 10
        for name in names:
            assert [outcome for _, outcome in await one.history(name)] == ["fired"] * 10


async def test_two_gateways_cancel_only_what_came_before(make_world: Any) -> None:
    """A gateway that is late must not stop the task that the other one has just submitted."""
    async with make_world() as one, make_world(one.time) as other:
        await one.create({"every_seconds": 60}, overlap="cancel_other")
        for _ in range(10):
            one.time.now += timedelta(minutes=1)
            await asyncio.gather(one.gateway.clock.tick(), other.gateway.clock.tick())
        assert [task["state"] for task in await one.tasks()] == ["stopped"] * 9 + ["starting"]


async def test_the_clock_wakes_for_the_next_time(world: Any) -> None:
    """The real clock: a schedule that is due in a moment fires without anybody looking."""
    world.gateway.clock.now = lambda: datetime.now(UTC)
    running = asyncio.create_task(world.gateway.clock.run())
    try:
        await world.create({"every_seconds": 1})
        world.gateway.clock.wake()
        async with asyncio.timeout(10):
            while not await world.tasks():
                await asyncio.sleep(0.01)
    finally:
        running.cancel()


async def test_old_history_is_forgotten(make_world: Any) -> None:
    """Not what is pending, nor what a firing still has to wait for."""
    async with make_world(schedule_history_days=1) as world:
        schedule = await world.create(overlap="buffer_one")
        await world.pass_time(hours=3)
        await world.gateway.clock._forget()
        assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "pending")]


async def test_a_quota_refuses_and_history_says_which(world: Any) -> None:
    schedule = await world.create(overlap="allow_all")
    await world.gateway.quotas.set(
        "acme", "", queued=2, running=None, per_minute=None, bytes_per_day=None, by="test", why=None
    )
    await world.pass_time(hours=3)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "fired"), ("03:00", "refused")]
    assert "quota_exceeded: " in (await world.reasons(schedule))[2]
    await world.end_tasks()
    await world.pass_time(hours=1)
    assert (await world.history(schedule))[-1] == ("04:00", "fired")
