"""The definition of a schedule: when it fires, what it submits, and its overlap policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.moment import Moment
from gateway.submission.requests import TaskSubmission

#: Bounds: specs of a schedule, times of one `at` list, seconds.
MOST_SPECS = 20
MOST_TIMES = 1000
LONGEST_INTERVAL = int(timedelta(days=366).total_seconds())
LONGEST_JITTER = 86_400.0
LONGEST_CATCH_UP = timedelta(days=366).total_seconds()


class Overlap(StrEnum):
    """What a firing does while an earlier task of the schedule is not over.

    `skip`: it is skipped. `buffer_one`: one firing waits, further ones are skipped. `buffer_all`: up to 1000 firings
    wait. `cancel_other`: the earlier tasks are stopped first. `allow_all`: it fires.
    """

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
    """Local dates and times. All fields must match. Each is a number, a list, or a cron field such as `1-5`. Default:
    every day at 00:00:00."""

    model_config = ConfigDict(extra="forbid")

    year: Annotated[list[Annotated[int, Field(ge=1970, le=2999)]], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Years. Default: every year."
    )
    month: CalendarFields = "*"
    day: CalendarFields = "*"
    day_of_week: CalendarFields = Field("*", description="Days of the week. 0 and 7 are Sunday.")
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
    """Times at which a schedule fires. Exactly one of `cron`, `every_seconds`, `calendar` and `at` is required."""

    model_config = ConfigDict(extra="forbid")

    cron: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        None,
        description="Cron expression with five fields, or with six (seconds first). `@hourly`, `@daily`, "
        "`@weekly`, `@monthly` and `@yearly` are accepted, too.",
    )
    every_seconds: Annotated[int, Field(ge=1, le=LONGEST_INTERVAL)] | None = Field(
        None, description="Interval in seconds, counted from 1970-01-01T00:00Z plus `offset_seconds`, or from `anchor`."
    )
    offset_seconds: Annotated[int, Field(ge=0, le=LONGEST_INTERVAL)] = Field(
        0, description="Shifts the times of an interval by this many seconds. Only with `every_seconds`."
    )
    anchor: Moment | None = Field(
        None,
        description="A time that belongs to the interval, in place of `offset_seconds`. Only with `every_seconds`.",
    )
    calendar: Calendar | None = None
    at: Annotated[list[datetime], Field(min_length=1, max_length=MOST_TIMES)] | None = Field(
        None, description="Single times. A time without a UTC offset is a local time in the time zone."
    )
    timezone: TimeZone | None = Field(
        None, description="Time zone of this spec (IANA name). Default: the schedule's time zone."
    )

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
    """A schedule, as a client defines it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200, description="Name for people. Need not be unique.")]
    specs: Annotated[list[Spec], Field(min_length=1, max_length=MOST_SPECS)] = Field(
        description="When the schedule fires. A time that several specs contain fires once."
    )
    timezone: TimeZone = Field("UTC", description="Time zone of local times (IANA name).")
    jitter_seconds: Annotated[float, Field(ge=0, le=LONGEST_JITTER, allow_inf_nan=False)] = Field(
        0,
        description="Each firing is delayed by a random time up to this many seconds, but not past the next "
        "time. The delay of one time is always the same.",
    )
    overlap: Overlap = Overlap.SKIP
    catch_up_seconds: Annotated[float, Field(ge=10, le=LONGEST_CATCH_UP, allow_inf_nan=False)] = Field(
        86_400,
        description="A time that was missed because no gateway ran still fires later, unless it is more than "
        "this many seconds ago.",
    )
    start_at: Moment | None = Field(None, description="The schedule does not fire before this time.")
    end_at: Moment | None = Field(None, description="The schedule does not fire after this time.")
    remaining_runs: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = Field(
        None, description="How many more times the schedule fires by itself. Null: no limit."
    )
    paused: bool = Field(False, description="The schedule does not fire by itself. It can still be run by hand.")
    note: Annotated[str, Field(max_length=1000)] | None = Field(
        None, description="Note for people, for example why the schedule is paused."
    )
    action: TaskSubmission = Field(
        description="The task to submit. `run_at` and `deadline` are not allowed; use `delay_seconds` and "
        "`ttl_seconds`."
    )

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
