"""The one door for stages: whoever changes the flag or an override, over whatever face, does it here.

Each change says why and names the version that it is based on, so that two people at once do not overwrite each other,
and is written to the flip ledger, or refused.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from backends.port import WorkflowEnginePort
from gateway.errors import DatabaseUnavailable
from gateway.migration.flags.errors import (
    FlagStoreRefuses,
    FlagStoreUnavailable,
    FlagUnsound,
    StageChangeRefused,
    StageVersionStale,
)
from gateway.migration.flags.recording import Also, nothing_else
from gateway.migration.flags.store import FlagStore, Held
from gateway.migration.guardrails.holds import check_holds
from gateway.migration.ledger.flips import flips_of_change
from gateway.migration.stages.changes import MEANWHILE, Changed
from gateway.migration.stages.checks import BARE, check_flag_stranding, check_known, unfollowed, why_unseen
from gateway.migration.stages.forward import after_import, after_rollout, after_unset, nowhere
from gateway.migration.stages.overrides import OverrideService
from gateway.migration.stages.requests import (
    ImportFlags,
    Insisting,
    MoveTenants,
    SetRollout,
    SetStage,
    UnsetStage,
)
from gateway.migration.stages.view import flag_view, override_change_view, written_notes
from gateway.routing.errors import FlagChangeRefused, FlagFileBusy, FlagFileInvalid, FlagVersionStale
from gateway.routing.flag_document import Json, parse_document
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage, with_stages, without_stage
from gateway.routing.flag_file import FlagChange, now
from gateway.routing.flag_text import default_unit, describe_flag, describe_scope
from gateway.routing.overrides import SQL
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database


class StageService:
    """Reads and changes the stages; those who change something are administrators, which the faces see to.

    Every method raises `DatabaseUnavailable` and `FlagStoreUnavailable`; what changes something `StageChangeRefused`,
    `StageVersionStale`, `FlagUnsound` and `LedgerUnwritable`: nothing was changed then.
    """

    def __init__(
        self,
        database: Database,
        store: FlagStore,
        flag_key: str,
        owner: str,
        *,
        redis: WorkflowEnginePort | None = None,
        configured: frozenset[str],
        problems: Callable[[], list[str]] = list,
    ) -> None:
        """`redis` is asked what was pushed past the gateway before a stage becomes `complete`; `configured` are the
        backends there are; `problems` is what routing complains of."""
        self._db = database
        self._redis = redis
        self._store = store
        self._flag_key = flag_key
        self._owner = owner
        self._configured = configured
        self.overrides = OverrideService(database, store, flag_key, redis)
        self._problems = problems

    @property
    def flag_key(self) -> str:
        return self._flag_key

    @property
    def is_one_transaction(self) -> bool:
        """Whether the flag and the ledger are changed together; else the ledger is written first."""
        return self._store.source == "database"

    @property
    def may_override(self) -> bool:
        """Whether overrides may stand in for a flag that cannot be changed now, since it is held by others."""
        return self._store.source == "launchdarkly" and self._store.refusal is None

    async def view(self) -> Json:
        """Who is at which stage, as the flag says now, and the overrides above it."""
        held, last = await self._store.held(), await self._store.changes(1)
        found = await flag_view(self._db, self._flag_key, held.document, owner=self._owner)
        return {
            "flag": self._flag_key,
            "source": self._store.source,
            "owner": self._owner,
            "version": held.version,
            "problem": held.problem,
            "read_only": self._store.refusal,
            **found,
            "problems": self._problems(),
            "last_change": asdict(last[-1]) if last else None,
        }

    async def unfollowed(self, lease_seconds: float) -> list[str]:
        """Why a change has no effect because no running gateway follows this flag; for who changes it without one."""
        return await unfollowed(self._db, self._owner, lease_seconds)

    async def seen(self) -> int:
        """The version that a change of the flag is based on now. Raises `StageChangeRefused` when there may be none."""
        self._check_writable()
        return (await self._store.held()).version

    async def history(self, limit: int) -> Json:
        """The newest `changes` of the flag and of the overrides, the oldest of them first; what is missing: `note`."""
        changes, note = [asdict(change) for change in await self._store.changes(limit)], None
        try:
            changes += [override_change_view(row) for row in await self._db.fetch(SQL.override_changes, limit)]
        except (DatabaseUnavailable, *BARE) as error:
            note = f"changes of overrides are not shown: {why_unseen(error)}"
        return {"changes": sorted(changes, key=lambda one: datetime.fromisoformat(one["at"]))[-limit:], "note": note}

    async def document(self) -> tuple[int, Json]:
        """Version, and all that holds the flag, as LaunchDarkly's JSON."""
        held = await self._store.held()
        return held.version, self._sound(held)

    async def set(self, who: str, asked: SetStage, also: Also = nothing_else, *, is_back: bool = False) -> Changed:
        """Put a scope, or the default, at a stage; `also` and `is_back` as of `move`."""
        stage, scope = Stage(asked.stage), asked.scope
        leads_to = nowhere if is_back else lambda *_: stage
        changed = await self._edit(who, asked, scope, lambda flag: with_stage(flag, scope, stage), leads_to, also)
        changed.notes[:0] = written_notes(stage, self._configured)
        return changed

    async def unset(self, who: str, asked: UnsetStage) -> Changed:
        """Take the stage of a scope away."""
        scope, leads_to = asked.scope, partial(after_unset, scope=asked.scope)
        return await self._edit(who, asked, scope, lambda flag: without_stage(flag, scope), leads_to)

    async def roll_out(
        self,
        who: str,
        asked: SetRollout,
        also: Also = nothing_else,
        *,
        is_back: bool = False,
        others: Stage | None = None,
    ) -> Changed:
        """Move a percentage of the default to a stage; `also`, `is_back` as of `move`, `others` of `with_rollout`."""
        stage = Stage(asked.stage)

        def change(flag: Json) -> Json:
            unit = asked.unit or default_unit(flag) or "tenant"
            return with_rollout(flag, stage, asked.percent, by=unit, seed=secrets.randbelow(2**31), others=others)

        changed = await self._edit(who, asked, Scope(), change, nowhere if is_back else after_rollout, also)
        changed.notes[:0] = written_notes(stage, self._configured)
        return changed

    async def move(
        self,
        who: str,
        asked: MoveTenants,
        also: Also = nothing_else,
        *,
        is_back: bool = False,
        despite_holds: bool = False,
    ) -> Changed:
        """Several tenants in one version; `also` runs in the transaction that writes the ledger.

        `is_back`: a rollback, which guardrails do not stop. `despite_holds`: as `force`, of what guardrails hold only.
        """
        stages = {Scope(tenant): None if stage is None else Stage(stage) for tenant, stage in asked.stages.items()}
        self._check_writable()
        held = await self._store.held()
        document, warnings = deepcopy(self._sound(held)), []
        for scope, stage in stages.items():
            if stage is not None and not is_back:
                warnings += await self._held(scope, stage, force=asked.force or despite_holds)
        document["flags"][self._flag_key] = with_stages(document["flags"][self._flag_key], stages)
        what = f"{len(stages)} tenants"
        return await self._change(who, asked, held, document, what, describe_flag, warnings, also)

    async def load(self, who: str, asked: ImportFlags) -> Changed:
        """Replace the whole document, also one that is not valid."""
        self._check_writable()
        try:
            parse_document(json.dumps(asked.document), self._flag_key)
            flag = dict((asked.document.get("flags") or {})[self._flag_key])
        except FlagFileInvalid as error:
            raise StageChangeRefused(f"the document is not valid: {error}") from None
        except KeyError:
            raise StageChangeRefused(f"flag {self._flag_key!r} must stand under 'flags'") from None
        held = await self._store.held()
        document = {**asked.document, "flags": {**asked.document["flags"], self._flag_key: flag}}
        warnings: list[str] = []
        if held.problem is None:
            before = (held.document or _empty(self._flag_key))["flags"][self._flag_key]
            for scope, stage in after_import(before, flag).items():
                warnings += await self._held(scope, stage, force=asked.force)
        return await self._change(who, asked, held, document, "flags", describe_flag, warnings)

    async def _edit(
        self,
        who: str,
        asked: Insisting,
        scope: Scope,
        change: Callable[[Json], Json],
        leads_to: Callable[[Json, Json], Stage | None],
        also: Also = nothing_else,
    ) -> Changed:
        """`leads_to`: what guardrails are asked about, of the flag before and after; None: nothing."""
        self._check_writable()
        held = await self._store.held()
        document = deepcopy(self._sound(held))
        warnings = await check_known(self._db, scope, force=asked.force)
        before = document["flags"][self._flag_key]
        try:
            document["flags"][self._flag_key] = after = change(before)
        except FlagChangeRefused as error:
            raise StageChangeRefused(error.message) from None
        if (stage := leads_to(before, after)) is not None:
            warnings += await self._held(scope, stage, force=asked.force)
        describe = partial(describe_scope, scope=scope)
        return await self._change(who, asked, held, document, str(scope), describe, warnings, also)

    async def _held(self, scope: Scope, stage: Stage, *, force: bool) -> list[str]:
        """As `check_holds`; the flag may be changed while the database is away, where it is held elsewhere."""
        try:
            return await check_holds(self._db, scope, stage, force=force)
        except (DatabaseUnavailable, *BARE):
            return []

    async def _change(
        self,
        who: str,
        asked: Insisting,
        held: Held,
        document: Json,
        what: str,
        describe: Callable[[Mapping[str, Any]], str],
        warnings: list[str],
        also: Also = nothing_else,
    ) -> Changed:
        """Every change of the flag, wherever it is held."""
        await self._check_version(asked.based_on, held)
        old = held.document or _empty(self._flag_key)
        before, after = old["flags"][self._flag_key], document["flags"][self._flag_key]
        after["version"] = held.version + 1
        if not asked.force:
            await check_flag_stranding(self._db, self._redis, old, document, self._flag_key)
        change = FlagChange(now(), who, what, describe(before), describe(after), asked.why, after["version"])
        flips = flips_of_change(
            None if held.document is None else before,
            after,
            source=self._store.source,
            who=who,
            why=asked.why,
            version=self._store.version_of(after),
        )
        try:
            done = await self._store.write(held, document, change, flips, also)
        except FlagFileBusy as error:
            raise FlagStoreUnavailable(error.message, retry_after=1) from None
        except FlagVersionStale:
            held = await self._store.held()
            await self._check_version(asked.based_on, held)
            raise StageVersionStale("the flag", asked.based_on, held.version) from None
        return Changed(done, warnings, written_notes(None, self._configured, after))

    def _check_writable(self) -> None:
        if self._store.refusal is not None:
            raise FlagStoreRefuses(self._store.refusal)

    async def _check_version(self, based_on: int, held: Held) -> None:
        if based_on != held.version:
            # Each change made one version.
            missed = max(0, min(held.version - based_on, MEANWHILE))
            meanwhile = await self._store.changes(missed) if missed else []
            raise StageVersionStale("the flag", based_on, held.version, meanwhile)

    def _sound(self, held: Held) -> Json:
        if held.problem is not None:
            raise FlagUnsound(f"{held.problem}; correct it, or import a valid document (taskgate flags import)")
        return held.document or _empty(self._flag_key)


def _empty(flag_key: str) -> Json:
    return {"flags": {flag_key: new_flag(flag_key)}}
