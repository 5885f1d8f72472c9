"""Which times the clock records at a moment."""

from __future__ import annotations

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
