"""Times that fired in the gap of a restored database, of which only the engines know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.recovery.restored.restoration import Restoration
from gateway.schedules.firing_loop import SQL
from gateway.schedules.schedule import Schedule

HAD = "its task existed already"


async def had(world: Any, schedule_id: str, *hours: int) -> None:
    """An engine had the tasks of these hours."""
    schedule = Schedule.of_row(await world.database.fetchrow(SQL.get, schedule_id))
    await world.database.execute(
        "INSERT INTO taskgate.recovered_task (task_id, recovery_id, is_known, backend, verdict)"
        " SELECT task_id, 1, false, 'redis', 'completed' FROM unnest($1::text[]) AS had (task_id)",
        [schedule.task_id(world.time.now + timedelta(hours=hour)) for hour in hours],
    )


@pytest.mark.parametrize("overlap", ["skip", "allow_all", "buffer_all", "cancel_other"])
async def test_what_fired_in_the_gap_is_not_submitted_again(world: Any, overlap: str) -> None:
    """Redis takes none of its starts any more: it waited for ever."""
    schedule = await world.create(overlap=overlap)
    await had(world, schedule, 1, 2)
    await world.pass_time(hours=1)
    assert await world.tasks() == []
    await world.pass_time(hours=2)
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "fired"), ("03:00", "fired")]
    assert await world.reasons(schedule) == [HAD, HAD, None]
    assert len(await world.tasks()) == 1


async def test_a_time_that_fired_in_the_gap_used_up_a_run(world: Any) -> None:
    schedule = await world.create(remaining_runs=2)
    await had(world, schedule, 1)
    await world.pass_time(hours=1)
    await world.pass_time(hours=1)
    await world.pass_time(hours=1)
    assert len(await world.tasks()) == 1
    assert await world.history(schedule) == [("01:00", "fired"), ("02:00", "fired")]


async def test_a_refused_action_leaves_alone_what_fired_in_the_gap(world: Any) -> None:
    schedule = await world.create(action={"type": "probe", "project_id": "acme-project"}, overlap="allow_all")
    await had(world, schedule, 1)
    await world.database.execute("UPDATE users SET is_active = false WHERE id = 'user-acme'")
    await world.pass_time(hours=2)
    assert [outcome for _, outcome in await world.history(schedule)] == ["fired", "refused"]


async def test_a_schedule_that_has_noted_times_is_paused(world: Any) -> None:
    """They may have fired in the gap; its next time is still ahead."""
    noted, ahead = await world.create(), await world.create()
    now = "UPDATE taskgate.schedule SET fire_at = now() + interval '1 hour', settle_at = {} WHERE schedule_id = $1"
    await world.database.execute(now.format("now()"), noted)
    await world.database.execute(now.format("NULL"), ahead)
    await Restoration(world.database, None, None, lease_seconds=15).recover(by="ada", why=None)
    paused = await world.database.fetch("SELECT schedule_id FROM taskgate.schedule WHERE is_paused")
    assert [row["schedule_id"] for row in paused] == [noted]
