"""Schedules for their users: create, change, pause, run by hand, read."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import orjson

from gateway.access.placement import Caller, Placement
from gateway.audit.acts import Act, record
from gateway.errors import InvalidRequest, ScheduleChanged, ScheduleNotFound, TooManySchedules
from gateway.schedules.definition import Overlap, ScheduleDefinition
from gateway.schedules.firing_loop import SQL, FiringLoop, note_times
from gateway.schedules.recurrence import Timetable, check_times
from gateway.schedules.schedule import Schedule
from gateway.storage.database import Database, type_Connection

#: Times that one backfill may name.
MOST_BACKFILLED = 10_000
#: How often a change is tried again when the clock was quicker.
_TRIES = 20

Change = Callable[[ScheduleDefinition], ScheduleDefinition]


class Schedules:
    """Every method raises `DatabaseUnavailable`, and `ScheduleNotFound` for what its caller may not see."""

    def __init__(self, database: Database, clock: FiringLoop, *, most_of_tenant: int) -> None:
        self._db = database
        self._most_of_tenant = most_of_tenant
        self._clock = clock

    async def plan(self, definition: ScheduleDefinition, placement: Placement, user_id: str) -> Schedule:
        """A new schedule, not yet written. Raises `InvalidRequest` when it never fires."""
        now = self._clock.now()
        await asyncio.to_thread(check_times, definition, now)
        schedule_id = str(uuid.uuid4())
        next_at, fire_at = _next(Timetable(schedule_id, definition), definition, now)
        return Schedule(
            schedule_id, placement.tenant_id, placement.project_id, user_id, definition, 1, next_at, fire_at, now, now
        )

    async def insert(self, db: type_Connection, schedule: Schedule) -> None:
        """Write a planned schedule, in the caller's transaction; `wake` the clock after its commit.

        Raises `TooManySchedules`.
        """
        definition = schedule.definition
        if await db.fetchval(SQL.count_of_tenant, schedule.tenant_id) >= self._most_of_tenant:
            raise TooManySchedules
        await db.execute(
            SQL.insert,
            schedule.schedule_id,
            schedule.tenant_id,
            schedule.project_id,
            schedule.user_id,
            definition.name,
            _text(definition),
            definition.paused,
            definition.note,
            definition.remaining_runs,
            schedule.next_at,
            schedule.fire_at,
            schedule.created_at,
        )
        subject = f"schedule:{schedule.schedule_id}"
        await record(db, Act("schedule.create", subject, schedule.user_id, None, None, _told(schedule)))

    async def get(self, schedule_id: str, caller: Caller) -> Schedule:
        row = await self._db.fetchrow(SQL.get, schedule_id)
        if row is None or not caller.sees(row["tenant_id"], row["project_id"]):
            raise ScheduleNotFound
        caller.check(row["tenant_id"], row["project_id"])
        return Schedule.of_row(row).retimed()

    async def page(
        self, caller: Caller, *, tenant_id: str | None, project_id: str | None, after: str, limit: int
    ) -> list[Schedule]:
        """A page of what the caller sees, by id."""
        tenants = None if caller.is_admin else sorted(caller.tenant_ids)
        if tenant_id is not None:
            tenants = [tenant_id] if caller.sees(tenant_id) else []
        rows = await self._db.fetch(SQL.list, tenants, project_id, after, limit)
        return [Schedule.of_row(row).retimed() for row in rows]

    async def change(
        self, schedule_id: str, caller: Caller, change: Change, *, author: tuple[str, str | None] | None = None
    ) -> Schedule:
        """Change a schedule. Times that were due before fire by the old definition.

        `author` is the user on whose behalf it submits from now on, and its project: given when the action is changed.
        Raises `InvalidRequest`, `ScheduleChanged`.
        """
        for _ in range(_TRIES):
            before = await self.get(schedule_id, caller)
            now = self._clock.now()
            definition = change(before.definition)
            if _times(definition) != _times(before.definition):
                await asyncio.to_thread(check_times, definition, now)
            due = before.due(now)
            delayed = before.delayed(now)
            is_resumed = before.definition.paused and not definition.paused
            # The next time of the new definition; one that has come, but waits for its jitter, is not passed over.
            after = now if due.next_at is None else min(now, due.next_at - timedelta(microseconds=1))
            if is_resumed and delayed is None:
                after = now
            table = Timetable(schedule_id, definition)
            next_at, fire_at = _next(table, definition, after)
            if definition.paused and delayed is not None and next_at == delayed:
                fire_at = table.fires_at(delayed)
            user_id, project_id = author or (before.user_id, before.project_id)
            async with self._db.transaction() as db:
                changed = await db.fetchval(
                    SQL.update,
                    schedule_id,
                    before.revision,
                    project_id,
                    user_id,
                    definition.name,
                    _text(definition),
                    definition.paused,
                    definition.note,
                    definition.remaining_runs,
                    next_at,
                    fire_at,
                    now,
                    now,
                )
                if changed:
                    await note_times(db, before, due, now)
                    if is_resumed and delayed is None and before.next_at is not None and before.next_at <= now:
                        await db.execute(
                            SQL.note_missed, schedule_id, before.next_at, now, definition.overlap, "paused", now
                        )
                    after_change = _told(replace(before, definition=definition, user_id=user_id, project_id=project_id))
                    subject, who = f"schedule:{schedule_id}", caller.user_id
                    await record(db, Act("schedule.change", subject, who, None, _told(before), after_change))
            if changed:
                self._clock.wake()
                return await self.get(schedule_id, caller)
        raise ScheduleChanged

    async def delete(self, schedule_id: str, caller: Caller) -> None:
        """Its tasks stay; firings that wait are gone with it."""
        schedule = await self.get(schedule_id, caller)
        async with self._db.transaction() as db:
            if (await db.execute(SQL.delete, schedule_id)).endswith(" 0"):
                return  # somebody else was quicker
            await record(db, Act("schedule.delete", f"schedule:{schedule_id}", caller.user_id, None, _told(schedule)))

    async def run(self, schedule_id: str, caller: Caller, overlap: Overlap | None) -> dict[str, Any]:
        """Fire now, also while it is paused. Returns the result. `overlap` None: the schedule's own."""
        schedule = await self.get(schedule_id, caller)
        nominal = self._clock.now()
        # Two at the same moment are two.
        while not await self._note(schedule, "manual", overlap or schedule.definition.overlap, [nominal]):
            nominal += timedelta(microseconds=1)
        await self._clock.settle(schedule_id)
        self._clock.wake()
        row = await self._db.fetchrow(SQL.firing, schedule_id, nominal)
        if row is None:
            raise ScheduleNotFound
        return dict(row)

    async def backfill(
        self, schedule_id: str, caller: Caller, begin: datetime, end: datetime, overlap: Overlap
    ) -> tuple[int, int]:
        """Fire the times from `begin` to `end`, both included, that have no task yet.

        How many times there are, and how many of them are fired now: the others have their task already.
        Raises `InvalidRequest` for a range that ends in the future, begins with the calendar, or names too many times.
        """
        schedule = await self.get(schedule_id, caller)
        now = self._clock.now()
        if end > now:
            raise InvalidRequest("A backfill must end in the past.", field="end_at")
        if begin > end:
            raise InvalidRequest("start_at is after end_at.", field="start_at")
        # What the schedule's own start cuts off may be wanted here.
        definition = schedule.definition.model_copy(update={"start_at": None})
        table = Timetable(schedule_id, definition)
        try:
            times = await asyncio.to_thread(lambda: list(islice(table.between(begin, end), MOST_BACKFILLED + 1)))
        except OverflowError:  # the time before it, or its local time, is beyond the year 1
            raise InvalidRequest("start_at is at the beginning of the calendar.", field="start_at") from None
        if len(times) > MOST_BACKFILLED:
            raise InvalidRequest(f"More than {MOST_BACKFILLED} times; give a shorter range.", field="end_at")
        detail = {"start_at": begin, "end_at": end, "times": len(times)}
        act = Act("schedule.backfill", f"schedule:{schedule_id}", caller.user_id, detail=detail)
        noted = await self._note(schedule, "backfill", overlap, times, act) if times else 0
        self._clock.wake()
        return len(times), noted

    def upcoming(self, schedule: Schedule, count: int) -> list[tuple[datetime, datetime]]:
        """The next nominal times and when they fire; fewer when its runs or times end.

        The first is `next_at`; of a paused schedule, what that would be if it were resumed now.
        """
        runs, now = schedule.definition.remaining_runs, self._clock.now()
        table, first = schedule.timetable, schedule.next_at
        if schedule.definition.paused:
            first = schedule.delayed(now) or table.after(now)
        if first is None:
            return []
        times = table.upcoming(first - timedelta(microseconds=1), count if runs is None else min(count, runs))
        return [(nominal, table.fires_at(nominal)) for nominal in times]

    async def history(
        self, schedule_id: str, caller: Caller, *, before: datetime | None, limit: int
    ) -> list[dict[str, Any]]:
        """Show the result of each time, the latest first."""
        await self.get(schedule_id, caller)
        return [dict(row) for row in await self._db.fetch(SQL.history, schedule_id, before, limit)]

    def wake(self) -> None:
        self._clock.wake()

    async def _note(
        self, schedule: Schedule, kind: str, overlap: Overlap, times: list[datetime], act: Act | None = None
    ) -> int:
        """Pending firings for these times; how many are new. `act` is recorded with them."""
        async with self._db.transaction() as db:
            # First, so that locks are taken in the clock's order.
            if not await db.fetchval(SQL.settle_soon, schedule.schedule_id, self._clock.now()):
                raise ScheduleNotFound
            noted = len(await db.fetch(SQL.note, schedule.schedule_id, kind, overlap, times, times))
            if act is not None:
                await record(db, act)
            return noted


def _next(table: Timetable, definition: ScheduleDefinition, after: datetime) -> tuple[datetime | None, datetime | None]:
    """The next time, and when it fires: a paused schedule has the first without the second."""
    if definition.remaining_runs == 0:
        return None, None
    next_at = table.after(after)
    return next_at, None if next_at is None or definition.paused else table.fires_at(next_at)


def _told(schedule: Schedule) -> dict[str, Any]:
    """What the record says of it: not what it submits, which is a payload."""
    said = schedule.definition.model_dump(mode="json", exclude={"action"}, exclude_none=True)
    placed = {"tenant_id": schedule.tenant_id, "project_id": schedule.project_id}
    return {**said, **placed, "task_type": schedule.definition.action.type, "author": schedule.user_id}


def _times(definition: ScheduleDefinition) -> tuple[Any, ...]:
    return definition.specs, definition.timezone, definition.start_at, definition.end_at


def _text(definition: ScheduleDefinition) -> str:
    return orjson.dumps(definition.model_dump(mode="json", exclude_none=True)).decode()


def in_utc(moment: datetime) -> datetime:
    """Raises `InvalidRequest` at the ends of the calendar."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest("The time is beyond the years 1 to 9999.") from None
