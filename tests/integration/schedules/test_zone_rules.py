"""A time zone gets other rules (a new tzdata): stored next times follow, and nothing fires twice or not at all."""

from __future__ import annotations

import asyncio
import shutil
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.schedules.retiming import retime_all
from workers.testing.waiting import eventually

ZONE = "Test/Moving"

Move = Callable[[int], None]


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    """Puts the zone so many hours ahead of UTC; it is one hour ahead at first."""
    before = zoneinfo.TZPATH
    (tmp_path / "Test").mkdir()

    def move(hours: int) -> None:
        # The sign of these names is the other way round.
        rules = resources.files("tzdata.zoneinfo.Etc").joinpath(f"GMT-{hours}")
        with resources.as_file(rules) as source:
            shutil.copy(source, tmp_path / ZONE)
        ZoneInfo.clear_cache()

    move(1)
    zoneinfo.reset_tzpath([str(tmp_path), *before])
    monkeypatch.setattr("gateway.schedules.definition._known_zones", frozenset({ZONE, "UTC"}))
    yield move
    zoneinfo.reset_tzpath(before)
    ZoneInfo.clear_cache()


async def shown(world: Any, schedule: str) -> tuple[str, str]:
    """`next_at`, and the first of `/next`."""
    found = await world.schedules.get(schedule, world.caller)
    [(nominal, _)] = world.schedules.upcoming(found, 1)
    return found.next_at.strftime("%d %H:%M"), nominal.strftime("%d %H:%M")


@pytest.mark.parametrize(("hours", "expected"), [(2, "01 07:00"), (3, "01 06:00")])
async def test_a_time_that_comes_earlier(world: Any, move: Move, hours: int, expected: str) -> None:
    schedule = await world.create({"cron": "0 9 * * *"}, timezone=ZONE)
    assert await shown(world, schedule) == ("01 08:00", "01 08:00")
    move(hours)
    assert await shown(world, schedule) == (expected, expected)
    await retime_all(world.database)
    row = await world.database.fetchrow("SELECT next_at, fire_at FROM taskgate.schedule")
    assert row["next_at"] == row["fire_at"]
    assert row["next_at"].strftime("%d %H:%M") == expected
    world.time.now = row["next_at"]
    await world.pass_time()
    assert await world.history(schedule) == [(expected[3:], "fired")]


async def test_a_time_that_comes_later_does_not_fire_at_the_old_one(world: Any, move: Move) -> None:
    """Also where nobody looked between the change and the firing."""
    move(3)
    schedule = await world.create({"cron": "0 9 * * *"}, timezone=ZONE)
    move(1)
    await world.pass_time(hours=6)
    assert await world.history(schedule) == []
    assert await shown(world, schedule) == ("01 08:00", "01 08:00")
    await world.pass_time(hours=2)
    assert await world.history(schedule) == [("08:00", "fired")]


async def test_a_time_that_has_passed_by_the_new_rules_is_made_up_for(world: Any, move: Move) -> None:
    schedule = await world.create({"cron": "0 9 * * *"}, timezone=ZONE)
    world.time.now += timedelta(hours=7, minutes=30)
    move(2)
    await retime_all(world.database)
    await world.pass_time(seconds=1)
    assert await world.history(schedule) == [("07:00", "fired")]
    assert await shown(world, schedule) == ("02 07:00", "02 07:00")


async def test_a_day_that_has_fired_does_not_fire_again(world: Any, move: Move) -> None:
    move(2)
    schedule = await world.create({"cron": "0 9 * * *"}, timezone=ZONE)
    await world.pass_time(hours=7, minutes=30)
    assert await world.history(schedule) == [("07:00", "fired")]
    move(1)
    await retime_all(world.database)
    assert await shown(world, schedule) == ("02 08:00", "02 08:00")
    await world.pass_time(hours=20)
    assert await world.history(schedule) == [("07:00", "fired")]


async def test_a_moment_that_comes_once_is_not_lost(world: Any, move: Move) -> None:
    schedule = await world.create({"at": ["2026-01-01T09:00:00"]}, timezone=ZONE)
    world.time.now += timedelta(hours=7, minutes=30)
    move(2)
    await retime_all(world.database)
    await world.pass_time(minutes=1)
    assert await world.history(schedule) == [("07:00", "fired")]


async def test_what_knows_no_zone_stays(world: Any, move: Move) -> None:
    schedule = await world.create({"every_seconds": 3600}, timezone=ZONE)
    move(3)
    assert await shown(world, schedule) == ("01 01:00", "01 01:00")
    found = await world.schedules.get(schedule, world.caller)
    assert found.next_at == found.fire_at == datetime(2026, 1, 1, 1, tzinfo=UTC)


async def test_the_clock_begins_with_it(world: Any, move: Move) -> None:
    await world.create({"cron": "0 9 * * *"}, timezone=ZONE)
    move(2)
    running = asyncio.create_task(world.gateway.clock.run())
    try:
        await eventually(
            lambda: world.database.fetchval("SELECT fire_at FROM taskgate.schedule"),
            lambda found: found == datetime(2026, 1, 1, 7, tzinfo=UTC),
        )
    finally:
        running.cancel()
