"""The definition of a schedule: when it fires, what it submits, and its overlap policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.moment import Moment
from gateway.submission.service import TaskSubmission

#: Bounds: specs of a schedule, times of one `at` list, seconds.
MOST_SPECS = 20
MOST_TIMES = 1000
LONGEST_INTERVAL = int(timedelta(days=366).total_seconds())
LONGEST_JITTER = 86_400.0
LONGEST_CATCH_UP = timedelta(days=366).total_seconds()


class Overlap(StrEnum):
    """What a firing does while an earlier task of its schedule is not over."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    ALLOW_ALL = "allow_all"


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("not an IANA time zone, such as Europe/Berlin")
    return name


def _zones() -> frozenset[str]:
    global _known_zones
    if _known_zones is None:
        # `localtime` is the machine's own, so it would mean another zone on another gateway.
        _known_zones = frozenset(available_timezones()) - {"localtime", "posixrules", "Factory"}
    return _known_zones


_known_zones: frozenset[str] | None = None

TimeZone = Annotated[str, AfterValidator(_known_zone)]
#: A number, a list, or a cron field: `*`, `1-5`, `*/15`, `MON`.
CalendarField = Annotated[int, Field(ge=0, le=9999)] | Annotated[str, Field(min_length=1, max_length=200)]
CalendarFields = CalendarField | Annotated[list[CalendarField], Field(min_length=1, max_length=100)]


class Calendar(BaseModel):
    """Local dates and times that match every field; the defaults are any day, at midnight."""

    model_config = ConfigDict(extra="forbid")

    year: Annotated[list[Annotated[int, Field(ge=1970, le=2999)]], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Years; left out: every year"
    )
    month: CalendarFields = "*"
    day: CalendarFields = "*"
    day_of_week: CalendarFields = Field("*", description="0 or 7 is Sunday")
    hour: CalendarFields = 0
    minute: CalendarFields = 0
    second: CalendarFields = 0

    def expression(self) -> str:
        """The fields in cron's words, seconds first."""
        fields = (self.second, self.minute, self.hour, self.day, self.month, self.day_of_week)
        return " ".join(
            ",".join(str(item) for item in field) if isinstance(field, list) else str(field) for field in fields
        )

    @field_validator("month", "day", "day_of_week", "hour", "minute", "second")
    @classmethod
    def _one_word(cls, value: Any) -> Any:
        for item in value if isinstance(value, list) else [value]:
            if any(mark.isspace() for mark in str(item)):
                raise ValueError("blanks are not allowed")
        return value


class Spec(BaseModel):
    """Times: exactly one of `cron`, `every_seconds`, `calendar`, `at`."""

    model_config = ConfigDict(extra="forbid")

    cron: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        None, description="Five fields, or six with seconds first; or @hourly, @daily, @weekly, @monthly, @yearly"
    )
    every_seconds: Annotated[int, Field(ge=1, le=LONGEST_INTERVAL)] | None = None
    offset_seconds: Annotated[int, Field(ge=0, le=LONGEST_INTERVAL)] = Field(
        0, description="Of an interval: shifts it from the midnight of 1970-01-01 UTC"
    )
    anchor: Moment | None = Field(None, description="Of an interval: one of its times, in place of an offset")
    calendar: Calendar | None = None
    at: Annotated[list[datetime], Field(min_length=1, max_length=MOST_TIMES)] | None = Field(
        None, description="Moments; those without an offset are local times of the time zone"
    )
    timezone: TimeZone | None = Field(None, description="IANA name; left out: the schedule's")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("cron", "every_seconds", "calendar", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of cron, every_seconds, calendar, at")
        if self.every_seconds is None and (self.offset_seconds or self.anchor is not None):
            raise ValueError("offset_seconds and anchor belong to every_seconds")
        if self.anchor is not None and self.offset_seconds:
            raise ValueError("give offset_seconds or anchor, not both")
        return self


class ScheduleDefinition(BaseModel):
    """A schedule as a client defines it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    specs: Annotated[list[Spec], Field(min_length=1, max_length=MOST_SPECS)] = Field(
        description="It fires at the times of all of them; a time that several name is one"
    )
    timezone: TimeZone = "UTC"
    jitter_seconds: Annotated[float, Field(ge=0, le=LONGEST_JITTER, allow_inf_nan=False)] = Field(
        0, description="Fires up to so much later, by chance but always the same for one time; never past the next time"
    )
    overlap: Overlap = Overlap.SKIP
    catch_up_seconds: Annotated[float, Field(ge=10, le=LONGEST_CATCH_UP, allow_inf_nan=False)] = Field(
        86_400, description="Times missed for longer (no gateway ran) are not made up for"
    )
    start_at: Moment | None = Field(None, description="No time before this")
    end_at: Moment | None = Field(None, description="No time after this")
    remaining_runs: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = Field(
        None, description="Tasks it may still submit by the clock; null: any number"
    )
    paused: bool = Field(False, description="The clock does not fire it; by hand it can be run")
    note: Annotated[str, Field(max_length=1000)] | None = Field(None, description="Why it is paused, or what it is for")
    action: TaskSubmission

    @field_validator("start_at", "end_at")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        try:
            return None if value is None else value.astimezone(UTC)
        except OverflowError:
            raise ValueError("beyond the years 1 to 9999") from None

    @field_validator("action")
    @classmethod
    def _repeatable(cls, value: TaskSubmission) -> TaskSubmission:
        for name in ("run_at", "deadline", "idempotency_key"):
            if getattr(value, name, None) is not None:
                raise ValueError(f"{name} would skip every firing but one")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start_at is not None and self.end_at is not None and self.end_at < self.start_at:
            raise ValueError("end_at is before start_at")
        return self


def zone_of(spec: Spec, definition: ScheduleDefinition) -> ZoneInfo:
    """The time zone in which the spec's local times are meant."""
    return ZoneInfo(spec.timezone or definition.timezone)
