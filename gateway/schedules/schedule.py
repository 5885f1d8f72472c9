"""The state of a schedule, and which of its times are due."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from gateway.schedules.definition import ScheduleDefinition
from gateway.schedules.recurrence import Timetable

#: Makes a task's id of schedule and nominal time.
_NAMESPACE = uuid.UUID("5d0c7d0e-6a53-4f5e-9d5b-0e6d2f9b7c11")

#: Times that are recorded in one transaction.
BATCH = 100


@dataclass(slots=True)
class Due:
    """`times`: nominal times and when they fire; `missed`: the first that is too old, and until when they are."""

    next_at: datetime | None
    fire_at: datetime | None = None
    times: list[tuple[datetime, datetime]] = field(default_factory=list)
    missed: tuple[datetime, datetime] | None = None


@dataclass(frozen=True)
class Schedule:
    """`definition` says how it is now: `paused`, `note` and `remaining_runs` in it change while it runs.

    A paused schedule has `fire_at` while the firing of a time that came before the pause is still ahead.
    """

    schedule_id: str
    tenant_id: str | None
    project_id: str | None
    user_id: str
    definition: ScheduleDefinition
    revision: int
    next_at: datetime | None
    fire_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of_row(cls, row: Any) -> Schedule:
        """The schedule in a row of `schedules.sql`."""
        document = orjson.loads(row["definition"])
        for name in ("project_id", "tenant_id", "group_id"):
            # An older gateway took empty names, for none.
            if document["action"].get(name) == "":
                del document["action"][name]
        if row["tenant_id"] is None:
            # An older gateway took one without a tenant; tasks with one are refused.
            document["action"].pop("callback", None)
        document |= {"paused": row["is_paused"], "note": row["note"], "remaining_runs": row["remaining_runs"]}
        names = ("schedule_id", "tenant_id", "project_id", "user_id", "revision", "next_at", "fire_at", "created_at")
        return cls(
            **{name: row[name] for name in names},
            definition=ScheduleDefinition.model_validate(document),
            updated_at=row["updated_at"],
        )

    @cached_property
    def timetable(self) -> Timetable:
        return Timetable(self.schedule_id, self.definition)

    def local(self, nominal: datetime) -> str:
        """A nominal time in the schedule's time zone, with its offset."""
        return nominal.astimezone(ZoneInfo(self.definition.timezone)).isoformat()

    def task_id(self, nominal: datetime) -> str:
        """The id of the task that the firing of this time submits: always the same.

        It can be computed, so it alone allows nobody to follow the task (`gateway.submission.ids.can_be_computed`).
        """
        return str(uuid.uuid5(_NAMESPACE, f"{self.schedule_id} {nominal.isoformat()}"))

    def retimed(self) -> Schedule:
        """With its next time by the rules that its time zones have now."""
        if self.next_at is None:
            return self
        next_at = self.timetable.counterpart(self.next_at, since=self.updated_at)
        fires = next_at is not None and self.fire_at is not None
        return replace(self, next_at=next_at, fire_at=self.timetable.fires_at(next_at) if next_at and fires else None)

    def delayed(self, now: datetime) -> datetime | None:
        """The time that has come, outside of any pause, and whose firing its jitter puts off beyond `now`."""
        if self.next_at is None or self.fire_at is None or not self.next_at <= now < self.fire_at:
            return None
        return self.next_at

    def due(self, now: datetime) -> Due:
        """The times that the clock has to record at `now`."""
        due = Due(next_at=self.retimed().next_at)
        if self.definition.remaining_runs == 0:
            due.next_at = None
        if self.definition.paused or due.next_at is None:
            return due
        floor = now - timedelta(seconds=self.definition.catch_up_seconds)
        # By when it fires: a jitter is no reason to miss a time.
        if self.timetable.fires_at(due.next_at) < floor:
            first, last = due.next_at, self.timetable.last_before(floor)
            is_ahead = last is not None and last > first and self.timetable.fires_at(last) >= floor
            due.next_at = last if is_ahead else self.timetable.after(floor - timedelta(microseconds=1))
            due.missed = (first, floor if last is None or not is_ahead else last)
        while due.next_at is not None and due.next_at <= now and len(due.times) < BATCH:
            fire_at = self.timetable.fires_at(due.next_at)
            if fire_at > now:
                break
            due.times.append((due.next_at, fire_at))
            due.next_at = self.timetable.after(due.next_at)
        due.fire_at = None if due.next_at is None else self.timetable.fires_at(due.next_at)
        return due
