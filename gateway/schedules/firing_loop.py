"""Fires schedules. Every gateway runs a clock. Each time fires once, with any number of clocks and across crashes.

There are two steps, each a transaction that checks the revision of the schedule. *Recording* moves the schedule to its
next time and writes a pending firing, whose key is schedule and nominal time. *Settling* decides pending firings by the
overlap policy; the decision is committed together with the rows of the task.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from gateway.errors import (
    ApiError,
    DatabaseUnavailable,
    Forbidden,
    TaskNotFound,
    TaskNotStoppable,
    UniqueKeyTaken,
)
from gateway.schedules.definition import Overlap
from gateway.schedules.overlap import TASK_EXISTED, Overlaps, Pending, Verdict
from gateway.schedules.retiming import retime_all
from gateway.schedules.schedule import BATCH, Due, Schedule
from gateway.storage.database import Database, type_Connection
from gateway.storage.driver_errors import is_outage
from gateway.storage.queries import Queries
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.submission.service import SubmissionService
from gateway.tasks import fault_points
from gateway.tasks.lifecycle.transitions import Transitions

log = logging.getLogger(__name__)
SQL = Queries("gateway.schedules", "schedules.sql")

#: Times of one schedule that may wait for the previous task (`buffer_all`); further ones are skipped.
MOST_BUFFERED = 1000
#: Schedules that are handled at once, and read at once.
AT_ONCE = 4
MOST_DUE = 200
#: Pause between two checks whether the task that a firing waits for is over (seconds).
BUFFER_SECONDS = 1.0
#: Pause between two rounds over all schedules (seconds).
ROUND_SECONDS = 3600.0

_TASK_KEYS = frozenset(("task_logs_pkey", "dispatch_pkey"))


class _ScheduleChanged(Exception):
    """Another gateway, or a client, changed the schedule first."""


async def note_times(db: type_Connection, schedule: Schedule, due: Due, now: datetime) -> None:
    """Write down the times that have come. The caller moves the schedule in the same transaction."""
    policy, schedule_id = schedule.definition.overlap, schedule.schedule_id
    if due.missed is not None:
        reason = f"missed, and too old for catch_up_seconds = {schedule.definition.catch_up_seconds:g}"
        await db.execute(SQL.note_missed, schedule_id, *due.missed, policy, reason, now)
    if due.times:
        await db.execute(SQL.note, schedule_id, "clock", policy, *_columns(due.times, 2))


class FiringLoop:
    """`now` is the clock itself; `service_of` gives the service of the user on whose behalf a schedule submits."""

    def __init__(
        self,
        database: Database,
        intake: Intake,
        transitions: Transitions,
        service_of: Callable[[str], SubmissionService],
        *,
        sweep_seconds: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.now = now
        self._db = database
        self._intake = intake
        self._transitions = transitions
        self._service_of = service_of
        self._sweep_seconds = sweep_seconds
        self._went_round_at = float("-inf")
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """A schedule changed: look when the next one is due."""
        self._wanted.set()

    async def run(self) -> None:
        """Fire what is due, until cancelled."""
        pause = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._go_round()
                pause = await self.tick()
            except DatabaseUnavailable:
                pause = 0.5

    async def tick(self) -> float:
        """Do what is due. Returns the seconds until something is due again. Raises `DatabaseUnavailable`."""
        while rows := await self._db.fetch(SQL.due, self.now(), MOST_DUE):
            # In a random order, so that gateways seldom want the same one.
            names = random.sample([row["schedule_id"] for row in rows], len(rows))
            slots = asyncio.Semaphore(AT_ONCE)
            worked = await asyncio.gather(*(self._turn(name, slots) for name in names))
            if not all(worked):
                return self._sweep_seconds
        due: datetime | None = await self._db.fetchval(SQL.next_due)
        if due is None:
            return self._sweep_seconds
        return min(max((due - self.now()).total_seconds(), 0.0), self._sweep_seconds)

    async def _go_round(self) -> None:
        """At the start and from time to time: apply the present rules of time zones.

        Again later, because a gateway of an older release beside this one stores times by older rules.
        """
        if time.monotonic() - self._went_round_at > ROUND_SECONDS:
            await retime_all(self._db)
            self._went_round_at = time.monotonic()

    async def _turn(self, schedule_id: str, slots: asyncio.Semaphore) -> bool:
        """Both steps for one schedule. Returns False if it has to wait; a schedule that fails does not delay others."""
        async with slots:
            try:
                await self.note(schedule_id)
                await self.settle(schedule_id)
            except Exception as error:
                if is_outage(error):
                    raise
                log.error("schedule %s cannot be fired now: %s", schedule_id, type(error).__name__)
                return False
            return True

    # The two steps ------------------------------------------------------------------------------------------

    async def note(self, schedule_id: str) -> None:
        """Write down the times of a schedule that have come, and move it to its next."""
        now = self.now()
        row = await self._db.fetchrow(SQL.get, schedule_id)
        if row is None or row["fire_at"] is None or row["fire_at"] > now:
            return
        schedule = Schedule.of_row(row)
        due = schedule.due(now)
        moved = (schedule_id, schedule.revision, due.next_at, due.fire_at, now if due.times else None)
        policy = schedule.definition.overlap
        if due.missed is None:
            await self._db.execute(SQL.advance, *moved, *_columns(due.times, 2), policy)
        else:
            async with self._db.transaction() as db:
                if await db.fetchval(SQL.advance, *moved, [], [], policy):
                    await note_times(db, schedule, due, now)
        fault_points.passing("after_firing_noted")

    async def settle(self, schedule_id: str) -> None:
        """Decide the pending firings of a schedule as far as they can be decided now."""
        with contextlib.suppress(_ScheduleChanged):
            if await self._settle(schedule_id, BATCH) is None:
                while await self._settle(schedule_id, 1):
                    pass

    async def _settle(self, schedule_id: str, most_tasks: int) -> bool | None:
        """Decide until so many tasks are submitted. Returns whether there is more to decide.

        None if several were to be submitted and one was refused, so that none was: submit each by itself.
        """
        now = self.now()
        row = await self._db.fetchrow(SQL.to_settle, schedule_id)
        if row is None:
            return False
        schedule = Schedule.of_row(row)
        pending = await self._db.fetch(SQL.pending, schedule_id, BATCH)
        overlaps = Overlaps(row["open_tasks"], schedule.definition.remaining_runs)
        is_cut = False
        ids = [schedule.task_id(firing["nominal_at"]) for firing in pending]
        recovered = await self._db.fetchval(SQL.recovered, ids) or () if ids else ()
        for firing, task_id in zip(pending, ids, strict=True):
            if is_cut := overlaps.fired >= most_tasks:
                break
            one = Pending(firing["nominal_at"], firing["kind"], Overlap(firing["overlap"]))
            (overlaps.note_existing if task_id in recovered else overlaps.decide)(one, task_id)
        verdict = overlaps.verdict
        has_more = is_cut or (len(pending) >= BATCH and bool(verdict.decisions))
        settle_at: datetime | None = None
        if has_more:
            settle_at = now
        elif verdict.kept:
            settle_at = now + timedelta(seconds=BUFFER_SECONDS)
        if not verdict.decisions and settle_at == row["settle_at"]:
            return False
        tasks = await self._tasks(schedule, verdict)
        try:
            await self._conclude(schedule, verdict, tasks, settle_at, now)
        except DatabaseUnavailable:
            raise
        except (ApiError, asyncpg.UniqueViolationError) as error:
            if len(tasks) > 1:
                return None
            if isinstance(error, asyncpg.UniqueViolationError) and error.constraint_name not in _TASK_KEYS:
                raise
            _undo(verdict, error)
            await self._conclude(schedule, verdict, [], settle_at, now)
        return has_more

    async def _tasks(self, schedule: Schedule, verdict: Verdict) -> list[NewTask]:
        """The tasks of fired times. Tasks that the owner may not (any longer) submit are refused."""
        fired = [decision.task_id for decision in verdict.decisions if decision.task_id and decision.submits]
        if not fired:
            return []
        try:
            _, task = await self._service_of(schedule.user_id).prepare(schedule.definition.action)
        except DatabaseUnavailable:
            raise
        except ApiError as error:
            _refuse(verdict, error)
            return []
        if task.placement.tenant_id != schedule.tenant_id:
            _refuse(verdict, Forbidden("its project belongs to another tenant now"))
            return []
        return [replace(task, task_id=task_id, schedule_id=schedule.schedule_id) for task_id in fired]

    async def _conclude(
        self, schedule: Schedule, verdict: Verdict, tasks: list[NewTask], settle_at: datetime | None, now: datetime
    ) -> None:
        """Commit decisions and tasks in one transaction. Raises `_ScheduleChanged`, and what intake raises."""
        decisions = verdict.decisions

        async def beside(db: type_Connection) -> None:
            settled = await db.fetchval(
                SQL.settle,
                schedule.schedule_id,
                schedule.revision,
                verdict.runs_left,
                settle_at,
                *_columns([(d.firing.nominal_at, d.outcome, d.reason, d.task_id) for d in decisions], 4),
                now,
                MOST_BUFFERED,
            )
            if not settled:
                raise _ScheduleChanged
            for task_id in verdict.stops:
                with contextlib.suppress(TaskNotFound, TaskNotStoppable):
                    await self._transitions.stop_within(db, task_id)
            fault_points.passing("before_firing_commit")

        await self._intake.submit(tasks, beside=beside)
        for task_id in verdict.stops:
            self._transitions.announce_stop(task_id)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as arrays for `unnest`."""
    return [[row[column] for row in rows] for column in range(width)]


def _refuse(verdict: Verdict, error: ApiError) -> None:
    """Undo the decisions to fire; tasks that were to be stopped for them go on."""
    for decision in verdict.decisions:
        if decision.submits:
            if decision.firing.kind == "clock" and verdict.runs_left is not None:
                verdict.runs_left += 1
            decision.outcome, decision.task_id = "refused", None
            # Who reads this may not see the task that has the key.
            message = UniqueKeyTaken().message if isinstance(error, UniqueKeyTaken) else error.message
            decision.reason = f"{error.code}: {message}"
    verdict.stops.clear()


def _undo(verdict: Verdict, error: ApiError | asyncpg.UniqueViolationError) -> None:
    """The task was not accepted: it was refused, or it exists already (its history was deleted meanwhile)."""
    if isinstance(error, ApiError):
        _refuse(verdict, error)
        return
    for decision in verdict.decisions:
        if decision.outcome == "fired":
            decision.reason = TASK_EXISTED
    verdict.stops.clear()
