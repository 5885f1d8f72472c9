"""Which times a schedule has: cron, interval, calendar, moments; daylight saving; bounds; jitter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.errors import InvalidRequest
from gateway.schedules.definition import ScheduleDefinition
from gateway.schedules.recurrence import Timetable, check_times

BERLIN = "Europe/Berlin"


def define(*specs: dict[str, Any], **fields: Any) -> ScheduleDefinition:
    return ScheduleDefinition.model_validate({"name": "n", "specs": specs, "action": {"type": "probe"}, **fields})


def local_times(spec: dict[str, Any], begin: str, count: int, zone: str = BERLIN) -> list[str]:
    """The next times after `begin` as clocks there show them, without the year."""
    table = Timetable("s", define(spec, timezone=zone))
    times = table.upcoming(datetime.fromisoformat(begin).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC), count)
    return [time.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M:%S %z") for time in times]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"cron": "30 2 * * *"}, ["01-15 02:30:00 +0100", "01-16 02:30:00 +0100"]),
        ({"cron": "15 30 2 * * *"}, ["01-15 02:30:15 +0100", "01-16 02:30:15 +0100"]),
        ({"cron": "@daily"}, ["01-16 00:00:00 +0100", "01-17 00:00:00 +0100"]),
        ({"cron": "0 9 L * *"}, ["01-31 09:00:00 +0100", "02-28 09:00:00 +0100"]),
        ({"cron": "0 9 * * MON#2"}, ["02-09 09:00:00 +0100", "03-09 09:00:00 +0100"]),
        ({"cron": "0 9 * * 1", "timezone": "Asia/Tokyo"}, ["01-19 01:00:00 +0100", "01-26 01:00:00 +0100"]),
        ({"every_seconds": 86400, "offset_seconds": 3600}, ["01-15 02:00:00 +0100", "01-16 02:00:00 +0100"]),
        (
            {"every_seconds": 1800, "anchor": "2026-06-01T00:07:00Z"},
            ["01-15 00:07:00 +0100", "01-15 00:37:00 +0100"],
        ),
        ({"calendar": {"month": 12, "day": [24, 31], "hour": 18}}, ["12-24 18:00:00 +0100", "12-31 18:00:00 +0100"]),
        # Unlike in cron, day and day of the week both have to match.
        ({"calendar": {"day": 13, "day_of_week": "FRI"}}, ["02-13 00:00:00 +0100", "03-13 00:00:00 +0100"]),
        ({"calendar": {"year": [2028], "month": 2, "day": 29}}, ["02-29 00:00:00 +0100"]),
        (
            {"at": ["2026-05-01T08:00:00", "2026-02-01T08:00:00Z", "2020-01-01T00:00:00Z"]},
            ["02-01 09:00:00 +0100", "05-01 08:00:00 +0200"],
        ),
    ],
)
def test_times(spec: dict[str, Any], expected: list[str]) -> None:
    assert local_times(spec, "2026-01-15T00:00:00", 2) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # 02:00 to 03:00 did not exist on 29 March 2026.
        ({"cron": "30 2 * * *"}, ["03-29 03:00:00 +0200", "03-30 02:30:00 +0200"]),
        ({"cron": "0 15,45 2 * * *"}, ["03-29 03:00:00 +0200", "03-30 02:15:00 +0200"]),
        ({"cron": "0 2-3 * * *"}, ["03-29 03:00:00 +0200", "03-30 02:00:00 +0200"]),
        ({"calendar": {"hour": 2, "minute": 30}}, ["03-29 03:00:00 +0200", "03-30 02:30:00 +0200"]),
        ({"at": ["2026-03-29T02:30:00"]}, ["03-29 03:00:00 +0200"]),
        ({"cron": "30 * * * *"}, ["03-29 00:30:00 +0100", "03-29 01:30:00 +0100", "03-29 03:30:00 +0200"]),
        ({"every_seconds": 3600}, ["03-29 01:00:00 +0100", "03-29 03:00:00 +0200", "03-29 04:00:00 +0200"]),
    ],
)
def test_a_local_time_that_does_not_exist(spec: dict[str, Any], expected: list[str]) -> None:
    assert local_times(spec, "2026-03-29T00:00:00", len(expected)) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # 02:00 to 03:00 came twice on 25 October 2026.
        ({"cron": "30 2 * * *"}, ["10-25 02:30:00 +0200", "10-26 02:30:00 +0100"]),
        ({"cron": "0 30 2 * * *"}, ["10-25 02:30:00 +0200", "10-26 02:30:00 +0100"]),
        ({"cron": "*/30 2 * * *"}, ["10-25 02:00:00 +0200", "10-25 02:30:00 +0200", "10-26 02:00:00 +0100"]),
        ({"calendar": {"hour": 2, "minute": 30}}, ["10-25 02:30:00 +0200", "10-26 02:30:00 +0100"]),
        ({"at": ["2026-10-25T02:30:00"]}, ["10-25 02:30:00 +0200"]),
        ({"cron": "30 * * * *"}, ["10-25 01:30:00 +0200", "10-25 02:30:00 +0200", "10-25 02:30:00 +0100"]),
        ({"calendar": {"hour": "*"}}, ["10-25 02:00:00 +0200", "10-25 02:00:00 +0100", "10-25 03:00:00 +0100"]),
    ],
)
def test_a_local_time_that_comes_twice(spec: dict[str, Any], expected: list[str]) -> None:
    assert local_times(spec, "2026-10-25T01:00:00", len(expected)) == expected


def test_a_gap_of_half_an_hour() -> None:
    spec = {"cron": "15 2 * * *"}
    assert local_times(spec, "2026-10-04T00:00:00", 1, "Australia/Lord_Howe") == ["10-04 02:30:00 +1100"]


def test_from_the_second_pass_of_an_hour_the_next_time_is_tomorrow() -> None:
    table = Timetable("s", define({"cron": "30 2 * * *"}, timezone=BERLIN))
    second_pass = datetime(2026, 10, 25, 2, 15, tzinfo=ZoneInfo(BERLIN), fold=1).astimezone(UTC)
    assert table.after(second_pass) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"cron": "0 0 30 2 *"}, "day-of-month"),
        ({"cron": "* * */20 * 1L"}, "never fires"),
        ({"cron": "61 * * * *"}, "minute"),
        ({"cron": "* * * *"}, "number of fields"),
        ({"cron": "@reboot"}, "number of fields"),
        ({"calendar": {"month": 2, "day": 30}}, "day-of-month"),
        ({"calendar": {"year": [2020]}}, "never fires"),
        ({"calendar": {"hour": 24}}, "hour"),
        ({"at": ["2020-01-01T00:00:00"]}, "never fires"),
        ({"at": ["0001-01-01T00:00:00"]}, "never fires"),
    ],
)
def test_what_never_fires_is_refused(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as refusal:
        check_times(define({"every_seconds": 5}, spec, timezone=BERLIN), datetime(2026, 1, 1, tzinfo=UTC))
    assert refusal.value.field == "specs.1"


@pytest.mark.parametrize(
    "bounds",
    [
        {"end_at": "2020-01-01T00:00:00Z"},
        {"start_at": "2026-01-01T00:00:01Z", "end_at": "2026-01-01T23:59:59Z"},
        {"start_at": "9998-01-01T00:00:00Z"},
    ],
)
def test_no_time_between_start_and_end_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="between"):
        check_times(define({"cron": "@daily"}, **bounds), datetime(2025, 12, 31, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    "wrong",
    [
        {"specs": []},
        {"specs": [{}]},
        {"specs": [{"cron": "@daily", "every_seconds": 5}]},
        {"specs": [{"cron": "@daily", "offset_seconds": 5}]},
        {"specs": [{"every_seconds": 0}]},
        {"specs": [{"every_seconds": 60, "offset_seconds": 1, "anchor": "2026-01-01T00:00:00Z"}]},
        {"specs": [{"calendar": {"hour": "1 2"}}]},
        {"specs": [{"calendar": {"hours": 1}}]},
        {"specs": [{"cron": "@daily", "timezone": "Mars/Olympus"}]},
        {"timezone": "localtime"},
        {"timezone": "../etc/passwd"},
        {"jitter_seconds": -1},
        {"catch_up_seconds": 1},
        {"overlap": "queue"},
        {"remaining_runs": -1},
        {"start_at": "2026-01-02T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"},
        {"start_at": "2026-01-02T00:00:00"},
        {"start_at": "9999-12-31T23:59:59-23:59"},
        {"action": {"type": "probe", "run_at": "2026-01-01T00:00:00Z"}},
        {"action": {"type": "no blanks"}},
        {"nmae": "typo"},
    ],
)
def test_out_of_form(wrong: dict[str, Any]) -> None:
    whole = {"name": "n", "specs": [{"cron": "@daily"}], "action": {"type": "probe"}}
    ScheduleDefinition.model_validate(whole)
    with pytest.raises(ValidationError):
        ScheduleDefinition.model_validate({**whole, **wrong})


def test_several_specs_share_their_times_and_keep_the_bounds() -> None:
    table = Timetable(
        "s",
        define(
            {"every_seconds": 600},
            {"cron": "*/15 * * * *"},
            start_at="2026-01-01T00:10:00Z",
            end_at="2026-01-01T00:40:00Z",
        ),
    )
    times = table.upcoming(datetime(2025, 1, 1, tzinfo=UTC), 10)
    assert [time.strftime("%H:%M") for time in times] == ["00:10", "00:15", "00:20", "00:30", "00:40"]


def test_between_includes_both_ends() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    table = Timetable("s", define({"every_seconds": 60}))
    assert list(table.between(begin, begin + timedelta(minutes=2))) == [begin + timedelta(minutes=n) for n in range(3)]


def test_jitter_is_the_same_each_time_and_differs_between_schedules() -> None:
    definition = define({"every_seconds": 3600}, jitter_seconds=600)
    nominal = datetime(2026, 1, 1, tzinfo=UTC)
    late = {name: Timetable(name, definition).fires_at(nominal) - nominal for name in map(str, range(200))}
    assert all(timedelta(0) <= delay <= timedelta(seconds=600) for delay in late.values())
    assert len(set(late.values())) == 200
    assert late == {name: Timetable(name, definition).fires_at(nominal) - nominal for name in late}


def test_jitter_never_passes_the_next_time() -> None:
    table = Timetable("s", define({"every_seconds": 60}, jitter_seconds=86400))
    nominal = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(100):
        following = table.after(nominal)
        assert following is not None
        assert nominal <= table.fires_at(nominal) < following
        nominal = following


ZONES = st.sampled_from(
    ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
)
FIELD = st.sampled_from(["*", "0", "5", "*/7", "10-20", "1,30"])
HOUR = st.sampled_from(["*", "0", "2", "1-3", "*/2", "23"])


@settings(max_examples=150)
@given(minute=FIELD, hour=HOUR, zone=ZONES, day=st.integers(0, 730), second=st.integers(0, 86399))
def test_times_always_go_forward_and_match_the_clock(minute: str, hour: str, zone: str, day: int, second: int) -> None:
    """Whatever the zone does: strictly later, no time between them that the next call would have found."""
    table = Timetable("s", define({"cron": f"{minute} {hour} * * *"}, timezone=zone))
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day, seconds=second)
    first = table.after(moment)
    assert first is not None
    assert first > moment
    assert table.after(first - timedelta(seconds=1)) == first
    following = table.after(first)
    assert following is not None
    assert following > first
    assert following - first <= timedelta(days=1, hours=2)
