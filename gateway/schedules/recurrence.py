"""The times of a schedule: pure computation, no clock.

Local times and daylight saving: a local time that does not exist means the first moment after the gap; one that comes
twice fires only the first time. Specs whose hour is `*` follow real time, so they fire in both passes of a repeated
hour, and there is nothing to make up for in a gap.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from gateway.errors import InvalidRequest
from gateway.schedules.definition import ScheduleDefinition, Spec, zone_of

#: A schedule without a time within so many years never fires.
HORIZON = timedelta(days=366 * 50)

#: New rules of a zone move a time by less than this.
_LARGEST_SHIFT = timedelta(days=1)

_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Timetable:
    """The nominal times of a schedule, in UTC, and when each fires."""

    def __init__(self, schedule_id: str, definition: ScheduleDefinition) -> None:
        self._id = schedule_id
        self._definition = definition
        self._jitter = timedelta(seconds=definition.jitter_seconds)

    def after(self, moment: datetime) -> datetime | None:
        """The first nominal time later than `moment`; None: there is none."""
        definition = self._definition
        if definition.start_at is not None and definition.start_at > moment:
            # `start_at` itself may be a time of the schedule.
            moment = definition.start_at - _TICK
        found = [time for source in self._sources if (time := source.after(moment)) is not None]
        first = min(found, default=None)
        if first is None or (definition.end_at is not None and first > definition.end_at):
            return None
        return first

    def last_before(self, moment: datetime) -> datetime | None:
        """The last nominal time before `moment` that may fire after it, by its jitter; None: there is none."""
        span = timedelta(seconds=1)
        while span < 2 * self._jitter:
            time = self.after(moment - span - _TICK)
            if time is not None and time < moment:
                while (following := self.after(time)) is not None and following < moment:
                    time = following
                return time
            span *= 2
        return None

    def between(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The nominal times from `begin` to `end`, both included."""
        time = self.after(begin - _TICK)
        while time is not None and time <= end:
            yield time
            time = self.after(time)

    def counterpart(self, nominal: datetime, *, since: datetime) -> datetime | None:
        """What the zones' present rules make of a time by earlier rules: the nearest one; if earlier, after `since`."""
        following = self.after(nominal - _TICK)
        if following == nominal:
            return nominal
        room = _LARGEST_SHIFT if following is None else min(following - nominal, _LARGEST_SHIFT)
        last = deque(self.between(max(nominal - room, since + _TICK), nominal), maxlen=1)
        return last[0] if last else following

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """The next nominal times after `moment`, at most `count`."""
        times: list[datetime] = []
        time = self.after(moment)
        while time is not None and len(times) < count and time - moment <= HORIZON:
            times.append(time)
            time = self.after(time)
        return times

    def fires_at(self, nominal: datetime) -> datetime:
        """When a nominal time fires: later by its jitter, which depends only on schedule and time."""
        if not self._jitter:
            return nominal
        following = self.after(nominal)
        room = self._jitter if following is None else min(self._jitter, following - nominal)
        digest = hashlib.sha256(f"{self._id} {nominal.isoformat()}".encode()).digest()
        return nominal + room * (int.from_bytes(digest[:6]) / 2**48)

    @cached_property
    def _sources(self) -> list[_Source]:
        return [_source(spec, zone_of(spec, self._definition)) for spec in self._definition.specs]


def check_times(definition: ScheduleDefinition, now: datetime) -> None:
    """Raises `InvalidRequest` when a spec is malformed or never fires again, or the schedule as a whole does not."""
    for number, spec in enumerate(definition.specs):
        field = f"specs.{number}"
        try:
            first = _source(spec, zone_of(spec, definition)).after(now)
        except CronSimError as error:
            raise InvalidRequest(f"{field} never fires: {str(error).lower()}", field=field) from None
        except OverflowError:
            first = None
        if first is None or first - now > HORIZON:
            raise InvalidRequest(f"{field} never fires (again).", field=field)
    try:
        first = Timetable("", definition).after(now)
    except OverflowError:
        first = None
    if first is None or first - now > HORIZON:
        raise InvalidRequest("The schedule never fires between start_at and end_at.", field="specs")


class _Source:
    """The times of one spec."""

    def after(self, moment: datetime) -> datetime | None:
        raise NotImplementedError


class _Interval(_Source):
    def __init__(self, every: timedelta, phase: datetime) -> None:
        self._every = every
        self._phase = phase

    def after(self, moment: datetime) -> datetime | None:
        return self._phase + ((moment - self._phase) // self._every + 1) * self._every


class _Moments(_Source):
    def __init__(self, moments: list[datetime], zone: ZoneInfo) -> None:
        self._moments = sorted(
            _instant(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC) for moment in moments
        )

    def after(self, moment: datetime) -> datetime | None:
        return next((time for time in self._moments if time > moment), None)


class _Cron(_Source):
    """`years` and `all_match` (days of the month and of the week) are what calendars have and cron has not."""

    def __init__(self, expression: str, zone: ZoneInfo, *, years: list[int] | None = None, all_match: bool = False):
        self._expression = _NICKNAMES.get(expression.strip().lower(), expression)
        self._zone = zone
        self._years = None if years is None else frozenset(years)
        self._all_match = all_match
        fields = self._expression.split()
        self._is_by_real_time = len(fields) in (5, 6) and fields[-4] == "*"

    def after(self, moment: datetime) -> datetime | None:
        begin = moment.astimezone(self._zone)
        if self._is_by_real_time:
            ticks = self._ticks(begin)
            instants = (tick.astimezone(UTC) for tick in ticks)
        else:
            instants = (_instant(tick, self._zone) for tick in self._ticks(begin.replace(tzinfo=None)))
        # Two local times of a gap are the same moment, and that of the second pass of an hour may be in the past.
        return next((time for time in instants if time > moment), None)

    def _ticks(self, begin: datetime) -> Iterator[datetime]:
        while True:
            cron = CronSim(self._expression, begin)
            if self._all_match:
                cron.day_and = True
            for tick in cron:
                if self._years is None or tick.year in self._years:
                    yield tick
                    continue
                later = [year for year in self._years if year > tick.year]
                if not later:
                    return
                begin = datetime(min(later), 1, 1, tzinfo=begin.tzinfo) - _SECOND
                break
            else:
                return


def _source(spec: Spec, zone: ZoneInfo) -> _Source:
    """Raises `CronSimError`, `OverflowError`."""
    if spec.cron is not None:
        return _Cron(spec.cron, zone)
    if spec.every_seconds is not None:
        phase = spec.anchor.astimezone(UTC) if spec.anchor else _EPOCH + timedelta(seconds=spec.offset_seconds)
        return _Interval(timedelta(seconds=spec.every_seconds), phase)
    if spec.calendar is not None:
        return _Cron(spec.calendar.expression(), zone, years=spec.calendar.year, all_match=True)
    return _Moments(spec.at or [], zone)


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment of a local time: the first of two; in a gap, the first moment after it."""
    instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == local:
        return instant
    # Both readings of a local time in a gap: with the offset before it (later than the gap) and after it (earlier).
    early, late = local.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    offset = early.astimezone(zone).utcoffset()
    while late - early > _SECOND:
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
