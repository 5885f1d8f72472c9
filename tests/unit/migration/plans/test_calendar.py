"""Windows and frozen days, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.migration.plans.calendar import clock_changes, closed, is_open, next_opening
from gateway.migration.plans.document import Plan

BERLIN = "Europe/Berlin"


def plan(**more: Any) -> Plan:
    return Plan.model_validate({"name": "p", "why": "w", "zone": BERLIN, "waves": [{"percent": 5}], **more})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def open_minutes(of: Plan, begin: str, hours: int) -> list[str]:
    minutes = [at(begin) + timedelta(minutes=n) for n in range(hours * 60)]
    return [f"{minute:%H:%M}" for minute in minutes if is_open(of, minute)]


def test_a_window_past_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = plan(windows=[{"days": ["fri"], "from": "22:00", "to": "06:00"}])
    assert closed(night, at("2026-11-27 21:00")) is None
    assert closed(night, at("2026-11-28 04:59")) is None
    assert closed(night, at("2026-11-28 05:00")) == (
        "outside of its windows; nobody is moved before 2026-12-04 22:00 Europe/Berlin"
    )
    assert closed(night, at("2026-11-28 22:00")) is not None


def test_frozen_days_are_whole_local_days() -> None:
    frozen = plan(freeze=[{"from": "2026-12-24", "to": "2026-12-26"}])
    assert closed(frozen, at("2026-12-23 22:59")) is None
    assert closed(frozen, at("2026-12-23 23:00")) == (
        "frozen from 2026-12-24 to 2026-12-26; nobody is moved before 2026-12-27 00:00 Europe/Berlin"
    )
    assert closed(frozen, at("2026-12-26 23:00")) is None


def test_a_window_in_the_hour_that_clocks_skip_is_shorter_and_says_so() -> None:
    morning = plan(windows=[{"from": "02:30", "to": "03:30"}])
    # On 2027-03-28 it is 03:00 in Berlin a minute after 01:59.
    assert open_minutes(morning, "2027-03-28 00:00", 4) == [f"01:{n:02}" for n in range(30)]
    assert clock_changes(morning, at("2027-03-01 00:00"))[0] == (
        "clocks change on 2027-03-28 in Europe/Berlin: the window from 02:30 to 03:30 is open for 30 minutes"
        " on that day instead of 60"
    )
    assert next_opening(morning, at("2027-03-28 00:10")) == at("2027-03-28 01:00")
    gone = plan(windows=[{"from": "02:10", "to": "02:50"}])
    assert next_opening(gone, at("2027-03-28 00:00")) == at("2027-03-29 00:10")


def test_a_window_in_the_hour_that_clocks_repeat_is_open_twice() -> None:
    morning = plan(windows=[{"from": "02:00", "to": "02:30"}])
    opened = open_minutes(morning, "2027-10-30 23:00", 4)
    assert opened == [f"{hour:02}:{n:02}" for hour in (0, 1) for n in range(30)]
    assert "open for 60 minutes on that day instead of 30" in clock_changes(morning, at("2027-10-01 00:00"))[0]


def test_a_window_on_an_ordinary_day_is_no_matter_of_clocks() -> None:
    assert clock_changes(plan(windows=[{"from": "09:00", "to": "17:00"}]), at("2027-03-01 00:00")) == []
