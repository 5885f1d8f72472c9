"""The part of the door that overrides go through: each is above the flag, whatever holds that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from backends.port import WorkflowEnginePort
from gateway.errors import ApiError
from gateway.migration.flags.errors import StageChangeRefused, StageVersionStale
from gateway.migration.flags.store import FlagStore
from gateway.migration.guardrails.holds import check_holds
from gateway.migration.guardrails.places import AUTHOR
from gateway.migration.ledger.changes import override_flip
from gateway.migration.ledger.writer import append
from gateway.migration.stages.changes import MEANWHILE, OverrideSet
from gateway.migration.stages.checks import check_known, check_override_stranding
from gateway.migration.stages.requests import ClearOverride, SetOverride
from gateway.migration.stages.view import override_change_view, override_notes, override_view
from gateway.routing.flag_document import Json
from gateway.routing.flag_file import FlagChange
from gateway.routing.overrides import SQL, Override, clear_override, load_overrides, lock_overrides, set_override
from gateway.routing.query import Scope
from gateway.routing.stages import REDIS, Stage, backend_of
from gateway.storage.database import Database


class OverrideService:
    """Reads and changes overrides; errors as of `Stages`."""

    def __init__(self, database: Database, store: FlagStore, flag_key: str, redis: WorkflowEnginePort | None) -> None:
        self._db = database
        self._store = store
        self._flag_key = flag_key
        self._redis = redis

    async def set(self, who: str, asked: SetOverride) -> OverrideSet:
        """Put a stage above the flag."""
        scope, stage = asked.scope, Stage(asked.stage)
        warnings = await check_known(self._db, scope, force=asked.force)
        warnings += await check_holds(self._db, scope, stage, force=asked.force)
        if not asked.force:
            await check_override_stranding(self._db, self._redis, {scope: stage})
        lasts = None if asked.minutes is None else timedelta(minutes=asked.minutes)
        async with self._db.transaction() as connection:
            before = await self._seen(connection, scope, asked.based_on)
            if lasts is not None and before is not None and before.expires_at is None:
                await self._check_end(connection, before)
            row = await set_override(connection, scope, stage, by=who, why=asked.why, lasts=lasts)
            was = None if before is None else before.stage
            await append(connection, override_flip(scope, was, stage, who, asked.why, row.version))
        return OverrideSet(row, warnings, override_notes(await self._flag_if_known(), scope, stage))

    async def clear(self, who: str, asked: ClearOverride) -> None:
        """Take the override of exactly this scope away."""
        async with self._db.transaction() as connection:
            before = await self._seen(connection, asked.scope, asked.based_on)
            if before is None:
                raise StageChangeRefused(f"there is no override for {asked.scope}")
            if backend_of(before.stage) == REDIS:
                await check_holds(connection, asked.scope, None, force=False)
            await clear_override(connection, asked.scope, by=who, why=asked.why)
            await append(connection, override_flip(asked.scope, before.stage, None, who, asked.why, before.version))

    async def all(self) -> list[Json]:
        """Every override in force."""
        return [override_view(row) for row in await load_overrides(self._db)]

    async def _check_end(self, connection: Any, before: Override) -> None:
        """Whether an override that ends by itself may replace this one, which does not.

        It would move forward whom this one keeps on Redis, and nobody would look. Raises `StageChangeRefused`,
        `MoveHeld`.
        """
        if backend_of(before.stage) != REDIS:
            return
        if before.set_by == AUTHOR:
            raise StageChangeRefused(
                f"a guardrail keeps {before.scope} at {before.stage} until a person clears that: set an override"
                " without an end (leave minutes out), or keep this one"
            )
        await check_holds(connection, before.scope, None, force=False)

    async def _flag_if_known(self) -> Json | None:
        """An override does not wait for what holds the flag."""
        try:
            document = (await self._store.held()).document
        except ApiError:
            return None
        return None if document is None else document["flags"][self._flag_key]

    async def _seen(self, connection: Any, scope: Scope, based_on: int) -> Override | None:
        """The override of the scope, which is not changed by others any more. Raises `StageVersionStale`."""
        await lock_overrides(connection)
        before = next((row for row in await load_overrides(connection) if row.scope == scope), None)
        version = 0 if before is None else before.version
        if version != based_on:
            changes = [override_change_view(row) for row in await connection.fetch(SQL.override_changes, MEANWHILE)]
            last = next((one for one in changes if one["what"] == f"override for {scope}"), None)
            meanwhile = [] if last is None else [FlagChange(**{**last, "version": version})]
            raise StageVersionStale(f"the override for {scope}", based_on, version, meanwhile)
        return before
