"""When a plan may move tenants: windows of local time and frozen days. Pure functions over zoneinfo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from gateway.migration.plans.document import DAYS, Plan, Window

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
#: So far ahead the next opening, and changes of clocks, are looked for (days).
AHEAD: Final = 400


def closed(plan: Plan, at: datetime) -> str | None:
    """Why no tenant is moved now; None: one may be."""
    if is_open(plan, at):
        return None
    local = at.astimezone(ZoneInfo(plan.zone))
    frozen = next((one for one in plan.freeze if one.from_ <= local.date() <= one.to), None)
    why = "outside of its windows" if frozen is None else f"frozen from {frozen.from_} to {frozen.to}"
    opening = next_opening(plan, at)
    when = (
        "within a year" if opening is None else f"before {opening.astimezone(local.tzinfo):%Y-%m-%d %H:%M} {plan.zone}"
    )
    return f"{why}; nobody is moved {when}"


def is_open(plan: Plan, at: datetime) -> bool:
    """Whether tenants may be moved now."""
    local = at.astimezone(ZoneInfo(plan.zone))
    return not any(one.from_ <= local.date() <= one.to for one in plan.freeze) and (
        not plan.windows or any(_covers(window, local) for window in plan.windows)
    )


def next_opening(plan: Plan, at: datetime) -> datetime | None:
    """The first minute from `at` on in which a tenant may be moved; None: there is none within `AHEAD` days."""
    zone = ZoneInfo(plan.zone)
    minute = at.astimezone(UTC).replace(second=0, microsecond=0)
    minute += _MINUTE if minute < at else timedelta()
    for number in range(AHEAD):
        day = minute.astimezone(zone).date() + number * _DAY
        opened = [one for one in _candidates(plan, day, zone) if one >= minute and is_open(plan, one)]
        if is_open(plan, minute):
            opened.append(minute)
        if opened:
            return min(opened)
    return None


def is_ever_open(plan: Plan, at: datetime) -> bool:
    return next_opening(plan, at) is not None


def clock_changes(plan: Plan, at: datetime) -> list[str]:
    """What the next changes of clocks do to its windows, in sentences."""
    zone = ZoneInfo(plan.zone)
    today = at.astimezone(zone).date()
    found = []
    for day in (today + number * _DAY for number in range(AHEAD)):
        begin = _midnight(day, zone)
        if begin.utcoffset() == _midnight(day + _DAY, zone).utcoffset():
            continue
        for window in plan.windows:
            length = sum(1 for minute in _minutes(day, zone) if _covers(window, minute))
            usual = sum(1 for minute in _minutes(day - 7 * _DAY, zone) if _covers(window, minute))
            if length != usual:
                found.append(
                    f"clocks change on {day} in {plan.zone}: the window from {window.from_} to {window.to} is open for"
                    f" {length} minutes on that day instead of {usual}"
                )
    return found


def _covers(window: Window, local: datetime) -> bool:
    """By the clock on the wall: an hour that clocks skip does not exist, one that they repeat counts twice."""
    now, today = local.time(), DAYS[local.weekday()]
    if window.begins < window.ends:
        return today in window.days and window.begins <= now < window.ends
    yesterday = DAYS[local.weekday() - 1]
    return (today in window.days and now >= window.begins) or (yesterday in window.days and now < window.ends)


def _candidates(plan: Plan, day: date, zone: ZoneInfo) -> Iterator[datetime]:
    """When something may open on this day: at midnight, where a window begins, or wherever clocks change."""
    begin, end = _midnight(day, zone), _midnight(day + _DAY, zone)
    if begin.utcoffset() != end.utcoffset():
        yield from (minute.astimezone(UTC) for minute in _minutes(day, zone))
        return
    yield begin.astimezone(UTC)
    for window in plan.windows:
        yield datetime.combine(day, window.begins, zone).astimezone(UTC)


def _minutes(day: date, zone: ZoneInfo) -> Iterator[datetime]:
    at, end = _midnight(day, zone).astimezone(UTC), _midnight(day + _DAY, zone).astimezone(UTC)
    while at < end:
        yield at.astimezone(zone)
        at += _MINUTE


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
