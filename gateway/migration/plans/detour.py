"""Overrides in place of a flag that cannot be changed now, because LaunchDarkly is away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.migration.guardrails.holds import check_holds
from gateway.migration.guardrails.places import PLAN_AUTHOR as AUTHOR
from gateway.migration.ledger.changes import override_flip
from gateway.migration.ledger.writer import append
from gateway.migration.plans.progress import SQL, Progress, check_unchanged
from gateway.routing.overrides import Override, clear_override, load_overrides, lock_overrides, set_override
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database, type_Connection


class Detour:
    """Each step is one transaction: overrides, their entries in the ledger, and the plan's rows.

    An override that is not a plan's own is never touched. Methods raise `MoveHeld`, `PlanChanged`, `LedgerUnwritable`,
    `DatabaseUnavailable`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def move(self, progress: Progress, names: Sequence[str], stage: Stage, why: str) -> None:
        """Put them at the stage, until the flag can say it."""
        for name in names:
            await check_holds(self._db, Scope(name), stage, force=False)
        async with self._db.transaction() as db:
            await check_unchanged(db, progress)
            await self._set(db, dict.fromkeys(names, stage), why)
            await db.execute(SQL.mark, progress.name, names, "moved", True)

    async def shield(self, progress: Progress, why: str) -> None:
        """Put all that the plan has moved where they were, until the flag can say it: they are `moving` then."""
        rows = await self._db.fetch(SQL.to_take_back, progress.name, 2**31 - 1)
        async with self._db.transaction() as db:
            await check_unchanged(db, progress)
            await self._set(db, {row["tenant_id"]: Stage(row["before"] or Stage.OFF) for row in rows}, why)
            await db.execute(SQL.mark, progress.name, [row["tenant_id"] for row in rows], "moving", True)

    async def end(self, progress: Progress, names: Iterable[str], why: str) -> None:
        """Clear the overrides of these: the flag decides."""
        scopes = {Scope(name) for name in names}
        if not scopes:
            return
        async with self._db.transaction() as db:
            await check_unchanged(db, progress)
            await lock_overrides(db)
            cleared = [row for row in await load_overrides(db) if row.scope in scopes and row.set_by == AUTHOR]
            for row in cleared:
                await clear_override(db, row.scope, by=AUTHOR, why=why)
            for row in cleared:
                await append(db, override_flip(row.scope, row.stage, None, AUTHOR, why, row.version))

    async def _set(self, db: type_Connection, stages: Mapping[str, Stage], why: str) -> None:
        await lock_overrides(db)
        before = {row.scope: row for row in await load_overrides(db)}
        changed: list[tuple[Override | None, Override]] = []
        for name, stage in stages.items():
            old = before.get(Scope(name))
            if old is not None and (old.set_by != AUTHOR or old.stage is stage):
                continue
            changed.append((old, await set_override(db, Scope(name), stage, by=AUTHOR, why=why)))
        for old, new in changed:
            was = None if old is None else old.stage
            await append(db, override_flip(new.scope, was, new.stage, AUTHOR, why, new.version))
