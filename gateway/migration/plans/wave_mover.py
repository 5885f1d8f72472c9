"""Moves a plan's tenants through the door of the stages, so many at once, and back again.

Each step may be cut short anywhere and is taken again: what the flag says tells what is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg

from gateway.migration.flags.errors import (
    FlagStoreRefuses,
    FlagStoreUnavailable,
    FlagUnsound,
    StageVersionStale,
)
from gateway.migration.flags.recording import Also
from gateway.migration.plans.document import Plan
from gateway.migration.plans.override_fallback import OverrideFallback
from gateway.migration.plans.progress import SQL, Progress, check_unchanged
from gateway.migration.plans.shares import Shares, default_before, left_alone, standing
from gateway.migration.stages.requests import MoveTenants
from gateway.migration.stages.service import StageService
from gateway.routing.flag_document import Json
from gateway.routing.flag_edit import settings_of
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database, type_Connection
from gateway.tasks import fault_points

#: Tenants that are moved in one version of the flag; each has an entry of its own in the ledger.
TENANTS_AT_ONCE: Final = 40
#: Who is named of those that cannot be put back.
_NAMED: Final = 3
#: How often a rollback reads a flag anew that others change meanwhile, and the pause after that (seconds).
_TRIES: Final = 3
_PAUSE: Final = 10


class WaveMover:
    """Belongs to the leader: `database` and the door's own write with its term.

    Every method raises what the door raises, `PlanChanged` when somebody changed the plan meanwhile, and
    `DatabaseUnavailable`.
    """

    def __init__(
        self, database: Database, stages: StageService, fallback: OverrideFallback, known: Callable[[], Json | None]
    ) -> None:
        """`known` is the flag in force here, also while what holds it is away."""
        self._db = database
        self._stages = stages
        self._fallback = fallback
        self._shares = Shares(database, stages)
        self._known = known
        self._at_once = TENANTS_AT_ONCE
        """One after a change that failed: each try is written to the ledger, and taken back there."""

    async def has_more(self, progress: Progress, plan: Plan) -> bool:
        """Whether somebody of the wave is not moved."""
        if plan.waves[progress.wave].tasks_percent is not None:
            return not await self._shares.is_moved(progress, plan)
        return bool(await self._db.fetch(SQL.to_move, progress.name, progress.wave, 1))

    async def move(self, progress: Progress, plan: Plan) -> bool:
        """Move the next tenants of the wave; False: all are moved."""
        if plan.waves[progress.wave].tasks_percent is not None:
            return await self._shares.move(progress, plan)
        rows = await self._db.fetch(SQL.to_move, progress.name, progress.wave, self._at_once)
        if not rows:
            return False
        stage = Stage(plan.stage_of(progress.wave))
        try:
            version, settings = await self._flag()
        except FlagStoreUnavailable:
            known = self._known()
            if known is None or not self._stages.may_override:
                raise
            names = await self._begin(progress, plan, rows, standing(known))
            await self._fallback.move(progress, names, stage, _why(progress, plan))
            return True
        names = await self._begin(progress, plan, rows, settings)
        fault_points.passing("before_plan_move")
        wanted: dict[str, Stage | None] = {one: stage for one in names if settings.get(Scope(one)) is not stage}
        if wanted:
            await self._change(progress, wanted, _why(progress, plan), version, self._marked(progress, names, "moved"))
        fault_points.passing("after_plan_move")
        await self._mark(progress, names, "moved")
        return True

    async def take_back(self, progress: Progress, plan: Plan) -> bool:
        """Put the last tenants that were moved where they were; False: all are. Who was moved by others since stays."""
        rows = await self._db.fetch(SQL.to_take_back, progress.name, self._at_once)
        why = f"plan {progress.name} is rolled back"
        if not rows:
            return await self._shares.take_back(progress, why)
        try:
            settings, wanted = await self._insist_on_back(progress, plan, rows, why)
        except (FlagStoreUnavailable, FlagStoreRefuses, FlagUnsound) as error:
            in_force = self._known()
            if in_force is None or not self._stages.may_override:
                raise
            default = default_before(progress, in_force)
            stuck = await self._fallback.shield(progress, plan, standing(in_force), default, why, error.message)
            if not stuck:
                raise
            raise FlagStoreUnavailable(f"{error.message}; {_stay(stuck)}", retry_after=error.retry_after) from error
        overridden = [row["tenant_id"] for row in rows if row["by_override"]]
        known = settings_of(self._known() or {}) if overridden else {}
        if (wanted and overridden) or any(known.get(Scope(one)) is not settings.get(Scope(one)) for one in overridden):
            return True  # their overrides go when the flag is in force
        await self._fallback.end(progress, overridden, why)
        for state, names in _ends(rows, settings, plan, wanted).items():
            await self._mark(progress, names, state)
        return True

    async def _insist_on_back(
        self, progress: Progress, plan: Plan, rows: Sequence[asyncpg.Record], why: str
    ) -> tuple[Mapping[Scope, Stage], Mapping[str, Stage | None]]:
        """As `_put_back`, also while others change the flag; `FlagStoreUnavailable` is raised when they do not stop."""
        for _ in range(_TRIES - 1):
            with suppress(StageVersionStale):
                return await self._put_back(progress, plan, rows, why)
        try:
            return await self._put_back(progress, plan, rows, why)
        except StageVersionStale as error:
            problem = f"others change the flag each time that it is to be changed: {error.message}"
            raise FlagStoreUnavailable(problem, retry_after=_PAUSE) from error

    async def _put_back(
        self, progress: Progress, plan: Plan, rows: Sequence[asyncpg.Record], why: str
    ) -> tuple[Mapping[Scope, Stage], Mapping[str, Stage | None]]:
        """Change the flag for these; what it said before, and what was changed."""
        version, settings = await self._flag()
        wanted = {
            row["tenant_id"]: _stage(row["before"])
            for row in rows
            if settings.get(Scope(row["tenant_id"])) is Stage(plan.stage_of(row["wave"]))
        }
        wanted = {one: stage for one, stage in wanted.items() if settings.get(Scope(one)) is not stage}
        fault_points.passing("before_plan_move")
        if wanted:
            await self._change(progress, wanted, why, version, lambda db: check_unchanged(db, progress), is_back=True)
        fault_points.passing("after_plan_move")
        return settings, wanted

    async def fold(self, progress: Progress, plan: Plan) -> None:
        """Let the flag say what overrides said while it could not be changed, then clear them."""
        rows = await self._db.fetch(SQL.by_override, progress.name, self._at_once)
        if not rows:
            return
        version, settings = await self._flag()
        stages = {row["tenant_id"]: _folded(row, settings, plan) for row in rows}
        wanted: dict[str, Stage | None] = {
            one: stage for one, stage in stages.items() if settings.get(Scope(one)) is not stage
        }
        why = f"plan {progress.name}: the flag can be changed again"
        if wanted:
            is_back = all(row["state"] == "moving" for row in rows)
            await self._change(
                progress,
                wanted,
                why,
                version,
                lambda db: check_unchanged(db, progress),
                is_back=is_back,
                despite_holds=True,
            )
            return
        known = settings_of(self._known() or {})
        here = [one for one, stage in stages.items() if known.get(Scope(one)) is stage]
        await self._fallback.end(progress, here, why)
        shielded = {row["tenant_id"] for row in rows if row["state"] == "moving"}
        await self._mark(progress, [one for one in here if one not in shielded], "moved")
        await self._mark(progress, [one for one in here if one in shielded], "back")

    async def _flag(self) -> tuple[int, Mapping[Scope, Stage]]:
        version, document = await self._stages.document()
        return version, standing(document["flags"][self._stages.flag_key])

    async def _begin(
        self, progress: Progress, plan: Plan, rows: Sequence[asyncpg.Record], settings: Mapping[Scope, Stage]
    ) -> list[str]:
        """Write down where they stand; those that are to be moved.

        Who stands there already is left alone, and who stands further, unless the wave names its tenants.
        """
        stage = Stage(plan.stage_of(progress.wave))
        is_named = plan.waves[progress.wave].tenants is not None
        waiting = [row["tenant_id"] for row in rows if row["state"] == "waiting"]
        there = [one for one in waiting if left_alone(settings, one, stage, is_named=is_named)]
        new = [one for one in waiting if one not in there]
        before = [settings.get(Scope(one)) for one in new]
        async with self._db.transaction() as db:
            await check_unchanged(db, progress)
            await db.execute(SQL.mark, progress.name, there, "left", False)
            await db.execute(SQL.begin_move, progress.name, new, before)
        fault_points.passing("after_plan_begin")
        return [*new, *(row["tenant_id"] for row in rows if row["state"] == "moving")]

    async def _change(
        self,
        progress: Progress,
        wanted: Mapping[str, Stage | None],
        why: str,
        version: int,
        also: Also,
        *,
        is_back: bool = False,
        despite_holds: bool = False,
    ) -> None:
        asked = MoveTenants(stages=dict(wanted), why=why[:1000], based_on=version)
        who = progress.started_by or progress.created_by
        try:
            await self._stages.move(who, asked, also, is_back=is_back, despite_holds=despite_holds)
        except (FlagStoreUnavailable, FlagStoreRefuses):
            self._at_once = 1
            raise
        self._at_once = TENANTS_AT_ONCE

    def _marked(self, progress: Progress, names: Sequence[str], state: str) -> Also:
        """Where the flag is in the database, flip and step are one transaction."""

        async def also(db: type_Connection) -> None:
            await check_unchanged(db, progress)
            if self._stages.is_one_transaction:
                await db.execute(SQL.mark, progress.name, names, state, False)

        return also

    async def _mark(self, progress: Progress, names: Sequence[str], state: str) -> None:
        if names:
            await self._db.execute(SQL.mark, progress.name, names, state, False)


def _ends(
    rows: Sequence[asyncpg.Record], settings: Mapping[Scope, Stage], plan: Plan, wanted: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Who is back, and who is left where others put them."""
    ends: dict[str, list[str]] = {"back": [], "left": []}
    for row in rows:
        tenant = row["tenant_id"]
        is_back = tenant in wanted or settings.get(Scope(tenant)) is _stage(row["before"])
        ends["back" if is_back else "left"].append(tenant)
    return ends


def _folded(row: asyncpg.Record, settings: Mapping[Scope, Stage], plan: Plan) -> Stage | None:
    """What the flag is to say in place of an override; who was being taken back stays where others put it since."""
    stage = Stage(plan.stage_of(row["wave"]))
    if row["state"] != "moving":
        return stage
    present = settings.get(Scope(row["tenant_id"]))
    return _stage(row["before"]) if present is stage else present


def _stay(tenants: Sequence[str]) -> str:
    named, more = ", ".join(tenants[:_NAMED]), len(tenants) - _NAMED
    others = f" and {more} more" if more > 0 else ""
    return (
        f"until the flag can be changed, these stay where they are: {named}{others}; before, they followed its default,"
        " which is a percentage"
    )


def _stage(name: str | None) -> Stage | None:
    return None if name is None else Stage(name)


def _why(progress: Progress, plan: Plan) -> str:
    return f"plan {progress.name}, {plan.title_of(progress.wave)}: {plan.why}"
