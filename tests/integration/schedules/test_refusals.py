"""Firings that are refused, and schedules that are not the caller's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import ApiError, ScheduleNotFound
from gateway.schedules.definition import Overlap


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


async def test_it_acts_with_the_rights_its_owner_has_now(world: Any) -> None:
    schedule = await world.create(action={"type": "probe", "project_id": "acme-project"}, overlap="allow_all")
    await world.pass_time(hours=1)
    await world.database.execute("UPDATE users SET is_active = false WHERE id = 'user-acme'")
    await world.pass_time(hours=1)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "refused")]
    assert "forbidden" in (await world.reasons(schedule))[1]


async def test_a_callback_that_an_older_gateway_took_without_a_tenant_is_left_out(world: Any) -> None:
    """Nobody's secret could sign it, so a task with one is refused."""
    world.caller = (await world.gateway.access.admit_user("user-admin")).caller
    schedule = await world.create(overlap="allow_all")
    callback = '{"action": {"type": "probe", "callback": {"url": "https://receiver.example/"}}}'
    await world.database.execute(
        "UPDATE taskgate.schedule SET definition = (definition::jsonb || $1::jsonb)::json WHERE schedule_id = $2",
        callback,
        schedule,
    )
    await world.pass_time(hours=1)
    assert await world.history(schedule) == [("01:00", "fired")], await world.reasons(schedule)
    (task,) = await world.tasks()
    assert task["callback"] is None
    assert (await world.schedules.get(schedule, world.caller)).definition.action.callback is None


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
