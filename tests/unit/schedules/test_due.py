"""Which times the clock records at a moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.schedules.definition import ScheduleDefinition
from gateway.schedules.schedule import Schedule

ONE = datetime(2026, 3, 1, 1, tzinfo=UTC)


def hourly(next_at: datetime = ONE, **fields: Any) -> Schedule:
    definition = ScheduleDefinition.model_validate(
        {"name": "n", "specs": [{"cron": "0 * * * *"}], "action": {"type": "probe"}, **fields}
    )
    return Schedule("s", "acme", None, "ann", definition, 1, next_at, next_at, next_at, next_at)


@pytest.mark.parametrize(("jitter", "catch_up"), [(300, 60), (3000, 10)])
def test_a_jitter_is_no_reason_to_miss_a_time(jitter: float, catch_up: float) -> None:
    for hour in range(20):
        schedule = hourly(ONE + timedelta(hours=hour), jitter_seconds=jitter, catch_up_seconds=catch_up)
        assert schedule.next_at is not None
        fires = schedule.timetable.fires_at(schedule.next_at)
        due = schedule.due(fires)
        assert (due.times, due.missed) == ([(schedule.next_at, fires)], None)


def test_a_time_that_should_have_fired_longer_ago_is_missed() -> None:
    schedule = hourly(catch_up_seconds=60)
    assert schedule.due(ONE + timedelta(seconds=60)).times == [(ONE, ONE)]
    late = ONE + timedelta(seconds=61)
    due = schedule.due(late)
    assert (due.times, due.missed) == ([], (ONE, late - timedelta(seconds=60)))
    assert due.next_at == ONE + timedelta(hours=1)


def test_a_time_whose_jitter_lies_still_ahead_is_not_missed_with_those_before_it() -> None:
    """No gateway ran from one to five past two."""
    now = ONE + timedelta(hours=1, minutes=5)
    seen = set()
    for name in range(40):
        schedule = replace(hourly(jitter_seconds=3000, catch_up_seconds=60), schedule_id=str(name))
        two = ONE + timedelta(hours=1)
        fires, floor = schedule.timetable.fires_at(two), now - timedelta(seconds=60)
        due = schedule.due(now)
        if fires < floor:
            assert (due.missed, due.next_at, due.times) == ((ONE, floor), ONE + timedelta(hours=2), [])
        elif fires > now:
            assert (due.missed, due.next_at, due.fire_at) == ((ONE, two), two, fires)
        else:
            assert (due.missed, due.times) == ((ONE, two), [(two, fires)])
        seen.add(fires > now)
    assert seen == {False, True}
