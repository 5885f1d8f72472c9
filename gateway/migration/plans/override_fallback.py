"""Overrides in place of a flag that cannot be changed now, because LaunchDarkly is away or refuses it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from backends.port import WorkflowEnginePort
from gateway.migration.drain.verdict import counted
from gateway.migration.flags.errors import StageChangeRefused
from gateway.migration.guardrails.holds import check_holds
from gateway.migration.ledger.changes import override_flip
from gateway.migration.ledger.writer import Flip, append
from gateway.migration.plans.document import Plan
from gateway.migration.plans.progress import SQL, Progress, check_unchanged
from gateway.migration.stages.checks import check_override_stranding
from gateway.routing.overrides import PLAN_AUTHOR as AUTHOR
from gateway.routing.overrides import clear_override, load_overrides, lock_overrides, set_override
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database, type_Connection

log = logging.getLogger(__name__)


class OverrideFallback:
    """Each step is one transaction: overrides, their entries in the ledger, and the plan's rows.

    An override that is not a plan's own is never touched. Methods raise `MoveHeld`, `StageChangeRefused` when tasks
    would be stranded, `PlanChanged`, `LedgerUnwritable`, `DatabaseUnavailable`.
    """

    def __init__(self, database: Database, redis: WorkflowEnginePort | None) -> None:
        """`redis` is asked what was pushed past the gateway before a tenant is at `complete`."""
        self._db = database
        self._redis = redis

    async def move(self, progress: Progress, names: Sequence[str], stage: Stage, why: str) -> None:
        """Put them at the stage, until the flag can say it."""
        for name in names:
            await check_holds(self._db, Scope(name), stage, force=False)
        await self._check_stranding(dict.fromkeys(names, stage))
        async with self._db.transaction() as db:
            await check_unchanged(db, progress)
            await self._set(db, dict.fromkeys(names, stage), why)
            await db.execute(SQL.mark, progress.name, names, "moved", True)

    async def shield(
        self,
        progress: Progress,
        plan: Plan,
        settings: Mapping[Scope, Stage],
        default: Stage | None,
        why: str,
        problem: str,
    ) -> list[str]:
        """Put those that the plan has moved where they were, until the flag can say it: they are `moving` then.

        `settings`: as `standing` reads them from the flag in force here; `default`: as of `default_before`; `problem`:
        why the flag cannot be changed.

        A tenant that is at another stage in the flag was moved by somebody else since, and is not changed. Returns the
        tenants that followed a percentage, for which no single stage can be set. A tenant that would strand tasks is
        not moved: `StageChangeRefused` is raised for it after the others were.
        """
        rows = await self._db.fetch(SQL.to_take_back, progress.name, 2**31 - 1)
        back: dict[str, Stage | None] = {}
        stuck = []
        for row in rows:
            tenant, before = row["tenant_id"], row["before"]
            if settings.get(Scope(tenant)) is not Stage(plan.stage_of(row["wave"])):
                if row["by_override"]:
                    back[tenant] = None  # the flag decides, which does not have the plan's stage
                continue
            stage = default if before is None else Stage(before)
            if stage is None:
                stuck.append(tenant)
            else:
                back[tenant] = stage
        refused = None
        try:
            await self._check_stranding(back)
        except StageChangeRefused as error:
            refused = error
            back = {tenant: stage for tenant, stage in back.items() if stage is not Stage.COMPLETE}
        async with self._db.transaction() as db:
            await check_unchanged(db, progress)
            said = f"{why} by override, the flag cannot be changed: {problem}"
            changed = await self._set(db, back, said)
            await db.execute(SQL.mark, progress.name, [*back], "moving", True)
        if changed:
            log.warning("%s (%s)", said, counted(changed, "tenant"))
        if refused is not None:
            raise refused
        return stuck

    async def end(self, progress: Progress, names: Iterable[str], why: str) -> None:
        """Clear the overrides of these: the flag decides."""
        ended: dict[str, Stage | None] = dict.fromkeys(names)
        if not ended:
            return
        async with self._db.transaction() as db:
            await check_unchanged(db, progress)
            await self._set(db, ended, why)

    async def _check_stranding(self, stages: Mapping[str, Stage | None]) -> None:
        known = {Scope(name): stage for name, stage in stages.items() if stage is not None}
        await check_override_stranding(self._db, self._redis, known)

    async def _set(self, db: type_Connection, stages: Mapping[str, Stage | None], why: str) -> int:
        """None: no override. How many were not as they are now."""
        await lock_overrides(db)
        before = {row.scope: row for row in await load_overrides(db)}
        flips: list[Flip] = []
        for name, stage in stages.items():
            scope = Scope(name)
            old = before.get(scope)
            if old is not None and (old.set_by != AUTHOR or old.stage is stage):
                continue
            if stage is not None:
                new = await set_override(db, scope, stage, by=AUTHOR, why=why)
                was = None if old is None else old.stage
                flips.append(override_flip(scope, was, stage, AUTHOR, why, new.version))
            elif old is not None:
                await clear_override(db, scope, by=AUTHOR, why=why)
                flips.append(override_flip(scope, old.stage, None, AUTHOR, why, old.version))
        for flip in flips:
            await append(db, flip)
        return len(flips)
