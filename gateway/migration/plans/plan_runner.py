"""The leader's look at every plan: at most one step of each, decided by what PostgreSQL says (docs/plans.md)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from gateway.errors import ApiError, DatabaseUnavailable, TooMuchHeld
from gateway.migration.drain.verdict import counted
from gateway.migration.flags.errors import StageVersionStale
from gateway.migration.plans.calendar import closed
from gateway.migration.plans.checking import PlanChecker
from gateway.migration.plans.document import Plan
from gateway.migration.plans.progress import ACTIVE, SQL, PlanChanged, PlanState, Progress, progress_of, put, write
from gateway.migration.plans.trouble import Gates, Trouble
from gateway.migration.plans.wave_mover import WaveMover
from gateway.observability.error_text import message_of
from gateway.recovery.fenced_database import LeadershipLost
from gateway.routing.overrides import PLAN_AUTHOR as AUTHOR
from gateway.storage.database import Database
from gateway.storage.driver_errors import is_outage
from gateway.tasks import fault_points

log = logging.getLogger(__name__)

#: Pause between two looks (seconds).
LOOK_SECONDS: Final = 1.0
#: So long a plan rests (seconds) after gates that have not passed, or a change that was refused.
REST_SECONDS: Final = 10.0


class PlanRunner:
    """A job of the leader: all that it writes carries its term.

    It may die at any step. A change of a plan's state is one transaction with its entry in the ledger, and a tenant
    that moves is marked before and after: whoever leads next goes on from there.
    """

    def __init__(
        self,
        database: Database,
        mover: WaveMover,
        trouble: Trouble,
        gates: Gates,
        checker: PlanChecker,
        *,
        now: Callable[[], Awaitable[datetime]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is the database's clock, unless a test has its own."""
        self._db = database
        self._mover = mover
        self._trouble = trouble
        self._gates = gates
        self._checker = checker
        self._now = now or self._database_now
        self._monotonic = monotonic
        self._rests: dict[str, float] = {}
        self._fold_rests: dict[str, float] = {}
        self._unfolded: dict[str, str] = {}

    async def tick(self) -> None:
        """Look once; what is wrong with one plan does not keep another waiting.

        Raises `LeadershipLost`, `DatabaseUnavailable`.
        """
        for row in await self._db.fetch(SQL.under_way):
            try:
                progress = progress_of(row)
                await self._look(progress)
            except (PlanChanged, StageVersionStale, TooMuchHeld) as error:
                log.debug("plan %s: %s; it is looked at again", row["name"], error.message)
            except LeadershipLost:
                raise
            except DatabaseUnavailable as error:
                if is_outage(error):
                    raise
                self._rest(row["name"], REST_SECONDS)
                log.warning("plan %s: %s; it is looked at again", row["name"], message_of(error.__cause__ or error))
            except ApiError as error:
                self._rest(row["name"], error.retry_after or REST_SECONDS)
                await self._refused(row["name"], error.message)
            except Exception:
                self._rest(row["name"], REST_SECONDS)
                log.exception("plan %s: an error that was not foreseen; it is looked at again", row["name"])

    async def _look(self, progress: Progress) -> None:
        plan = await self._checker.stored(progress.document)
        is_resting = self._monotonic() < self._rests.get(progress.name, 0.0)
        if progress.state is PlanState.ROLLING_BACK:
            if not is_resting:
                await self._take_back(progress, plan)
            return
        if not is_resting and self._monotonic() >= self._fold_rests.get(progress.name, 0.0):
            await self._fold(progress, plan)
        if progress.state not in ACTIVE:
            return
        trouble = await self._trouble.of(progress, plan)
        if trouble is not None:
            await self._hold(progress, trouble, is_troubled=True)
        elif progress.is_troubled:
            await self._go_on(progress)
        elif not is_resting:
            await self._advance(progress, plan)

    async def _advance(self, progress: Progress, plan: Plan) -> None:
        now, title = await self._now(), plan.title_of(progress.wave)
        if progress.moved_at is None:
            if (why := closed(plan, now)) is not None and await self._mover.has_more(progress, plan):
                await self._hold(progress, f"{title}: {why}")
                return
            # It is `running` once somebody has moved: a change that is refused again and again is no step.
            if await self._mover.move(progress, plan):
                await self._become(progress, PlanState.RUNNING, f"{title}: tenants are being moved")
            else:
                ends = now + plan.bake_of(progress.wave)
                says = f"{title}: all are moved; it bakes until {ends:%Y-%m-%d %H:%M:%S} UTC"
                await self._become(replace(progress, moved_at=now), PlanState.BAKING, says)
            return
        ends = progress.moved_at + plan.bake_of(progress.wave)
        if now < ends:
            await self._become(progress, PlanState.BAKING, f"{title} bakes until {ends:%Y-%m-%d %H:%M:%S} UTC")
            return
        missing = await self._gates.missing(progress, plan)
        if missing:
            self._rest(progress.name, REST_SECONDS)
            await self._hold(progress, "; ".join(missing))
        elif progress.wave + 1 < len(plan.waves):
            ahead = plan.title_of(progress.wave + 1)
            await self._become(
                progress.in_wave(progress.wave + 1), PlanState.RUNNING, f"{title} is over; {ahead} begins"
            )
        else:
            await self._end(progress, plan, now)

    async def _end(self, progress: Progress, plan: Plan, now: datetime) -> None:
        counts = await self._db.fetch(SQL.counts, progress.name)
        if any(row["by_override"] for row in counts):
            why = self._unfolded.get(progress.name)
            refused = "" if why is None else f": {why}"
            await self._hold(
                progress, f"all waves are over; overrides stand in for the flag until it can be changed{refused}"
            )
            return
        skipped = sum(row["skipped"] for row in counts)
        left_out = f"; {skipped} tenant{'s were' if skipped > 1 else ' was'} skipped" if skipped else ""
        waves = "its wave is over" if len(plan.waves) == 1 else f"all {len(plan.waves)} waves are over"
        says = f"{waves}{left_out}"
        await self._become(replace(progress, ended_at=now), PlanState.DONE, says)

    async def _take_back(self, progress: Progress, plan: Plan) -> None:
        if await self._mover.take_back(progress, plan):
            return
        counts = await self._db.fetch(SQL.counts, progress.name)
        back, left = (sum(row[name] for row in counts) for name in ("back", "left"))
        says = f"rolled back: {counted(back, 'tenant')} {'is' if back == 1 else 'are'} where they were before" + (
            f"; {left} stood there already, or were moved by others since, and were left alone" if left else ""
        )
        await self._become(replace(progress, ended_at=await self._now()), PlanState.ABORTED, says)

    async def _fold(self, progress: Progress, plan: Plan) -> None:
        try:
            await self._mover.fold(progress, plan)
            self._unfolded.pop(progress.name, None)
        except (DatabaseUnavailable, PlanChanged):
            raise
        except ApiError as error:
            self._unfolded[progress.name] = error.message
            self._fold_rests[progress.name] = self._monotonic() + (error.retry_after or REST_SECONDS)
            log.debug("plan %s: its overrides stay: %s", progress.name, error.message)

    async def _go_on(self, progress: Progress) -> None:
        """After trouble a wave bakes anew: who was mended has shown nothing yet."""
        moved_at = None if progress.moved_at is None else await self._now()
        mended = replace(progress, is_troubled=False, moved_at=moved_at)
        await self._become(mended, mended.resumed, "what held it is over; it goes on", is_anew=True)

    async def _refused(self, name: str, why: str) -> None:
        row = await self._db.fetchrow(SQL.plan, name)
        with contextlib.suppress(PlanChanged):
            if row is not None:
                await self._hold(progress_of(row), why)

    async def _hold(self, progress: Progress, why: str, *, is_troubled: bool = False) -> None:
        is_back = progress.state is PlanState.ROLLING_BACK
        if progress.state in ACTIVE or is_back:
            state = PlanState.ROLLING_BACK if is_back else PlanState.HELD
            await self._become(replace(progress, is_troubled=is_troubled), state, why)

    async def _become(self, progress: Progress, state: PlanState, says: str, *, is_anew: bool = False) -> Progress:
        """Write what is new; a change of state is an entry of the ledger, other words are not.

        `is_anew`: its wave has to show again that it is well.
        """
        row = await self._db.fetchrow(SQL.plan, progress.name)
        before = None if row is None else progress_of(row)
        after = replace(progress, state=state, says=says)
        if after == before:
            return after
        is_step = before is None or (before.state, before.wave, before.is_troubled) != (
            state,
            after.wave,
            after.is_troubled,
        )
        fault_points.passing("before_plan_step")
        async with self._db.transaction() as db:
            if is_anew:
                await db.execute(SQL.unpass, progress.name, progress.wave)
            written = await write(db, after, AUTHOR, says) if is_step else await put(db, after)
        fault_points.passing("after_plan_step")
        if is_step:
            log.info("plan %s is %s: %s", progress.name, state, says)
        return written

    def _rest(self, name: str, seconds: float) -> None:
        self._rests[name] = self._monotonic() + seconds

    async def _database_now(self) -> datetime:
        row = await self._db.fetchrow(SQL.now)
        assert row is not None
        now: datetime = row["now"]
        return now
