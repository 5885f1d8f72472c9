"""Guardrails for people: what they are set to, where they stand, what they did; unlocking and unfreezing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gateway.access.placement import Tier
from gateway.audit.acts import Act, record
from gateway.errors import TenantNotFound
from gateway.migration.guardrails.comparison_window import ComparisonWindow
from gateway.migration.guardrails.errors import GuardrailRefused
from gateway.migration.guardrails.event import GuardrailEvent, Kind
from gateway.migration.guardrails.guard import Guard, Phase
from gateway.migration.guardrails.moves import unlocked
from gateway.migration.guardrails.requests import SetGuardrail, Unfreeze, Unlock
from gateway.migration.guardrails.rollback import tell
from gateway.migration.guardrails.store import SQL, Policies, event_view, guard_of, put_guard
from gateway.migration.guardrails.webhook import Webhook
from gateway.routing.overrides import SQL as ROUTING_SQL
from gateway.storage.database import Database, type_Connection
from gateway.storage.paging import cursor_in, parts_of

Json = dict[str, Any]

LARGEST_PAGE = 200

#: What cursors call the list.
LIST = "guardrail events"


class Guardrails:
    """For administrators, which the faces see to. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, webhook: Webhook, wake: Callable[[], None]) -> None:
        self._db = database
        self._webhook = webhook
        self._wake = wake

    async def show(self, tenant_id: str | None = None) -> Json:
        """What is set, whether all is frozen, and the guardrails that are not at rest; of one tenant also if it is.

        Raises `TenantNotFound`.
        """
        if tenant_id is not None:
            await self._check_known(tenant_id)
        rows = await self._db.fetch(SQL.settings)
        policies = Policies(rows)
        tiers = {row["id"]: Tier.of_plan(row["plan"]) for row in await self._db.fetch(SQL.tenants)}
        guards = [guard_of(row) for row in await self._db.fetch(SQL.concerned, tenant_id)]
        if tenant_id is not None and not guards:
            guards = [Guard(tenant_id)]
        frozen = await self._db.fetchrow(SQL.freeze_now)
        return {
            "frozen": None if frozen is None else {"since": frozen["since"], "why": frozen["why"]},
            "settings": [_setting_view(row) for row in rows],
            "guardrails": [
                {
                    **_guard_view(one),
                    "policy": asdict(policies.of(one.tenant_id, tiers.get(one.tenant_id, Tier.STANDARD))),
                }
                for one in guards
            ],
        }

    async def set(self, who: str, asked: SetGuardrail) -> Json:
        """Replace what is set at one level; the answer is what `show` says of it. Raises `TenantNotFound`."""
        if asked.tenant_id is not None:
            await self._check_known(asked.tenant_id)
        settings = json.dumps(asked.settings)
        said = ", ".join(f"{name} {value}" for name, value in asked.settings.items()) or "nothing of its own"
        async with self._db.transaction() as db:
            await db.execute(SQL.lock)
            row = await db.fetchrow(SQL.setting, asked.scope)
            before = None if row is None else json.loads(row["settings"])
            await db.execute(SQL.put_setting, asked.scope, settings, who, asked.why)
            event = GuardrailEvent(Kind.CHANGED, asked.tenant_id, f"{asked.scope}: {said} ({asked.why})", who)
            await tell(db, [event], self._webhook)
            await record(db, Act("guardrail.set", asked.scope, who, asked.why, before, asked.settings))
        return await self.show(asked.tenant_id)

    async def unlock(self, who: str, asked: Unlock) -> Json:
        """Let it act again, and its tenant be moved. Raises `TenantNotFound`, `GuardrailRefused`."""
        await self._check_known(asked.tenant_id)
        async with self._db.transaction() as db:
            await db.execute(SQL.lock)
            row = await db.fetchrow(SQL.guard_for_change, asked.tenant_id)
            phase = Phase.RESTING if row is None else Phase(row["phase"])
            if row is None or phase is not Phase.LOCKED:
                raise GuardrailRefused(f"the guardrail of tenant {asked.tenant_id} is {phase}, not locked")
            await put_guard(db, unlocked(guard_of(row)))
            await self._record(
                db, who, GuardrailEvent(Kind.UNLOCKED, asked.tenant_id, asked.why, who), "guardrail.unlock"
            )
        self._wake()
        return await self.show(asked.tenant_id)

    async def unfreeze(self, who: str, asked: Unfreeze) -> Json:
        """Let all of them act again, on what ends from now on. Raises `GuardrailRefused`."""
        async with self._db.transaction() as db:
            await db.execute(SQL.lock)
            if await db.fetchrow(SQL.unfreeze) is None:
                raise GuardrailRefused("the guardrails are not frozen")
            await db.execute(SQL.count_anew)
            await self._record(db, who, GuardrailEvent(Kind.UNFROZEN, None, asked.why, who), "guardrail.unfreeze")
        self._wake()
        return await self.show()

    async def history(self, *, tenant_id: str | None, cursor: str | None, limit: int) -> tuple[list[Json], str | None]:
        """What happened, newest first, of one tenant with what was about everybody; and the cursor of the next page.

        Raises `TenantNotFound`, `InvalidRequest`.
        """
        before = None if cursor is None else parts_of(cursor, LIST, int)[0]
        if tenant_id is not None:
            await self._check_known(tenant_id)
        rows = await self._db.fetch(SQL.history, limit + 1, before, tenant_id)
        page = [event_view(row) for row in rows[:limit]]
        return page, cursor_in(LIST, page[-1]["id"]) if len(rows) > limit else None

    async def _record(self, db: type_Connection, who: str, event: GuardrailEvent, action: str) -> None:
        await tell(db, [event], self._webhook)
        subject = "all" if event.tenant_id is None else f"tenant:{event.tenant_id}"
        await record(db, Act(action, subject, who, event.why))

    async def _check_known(self, tenant_id: str) -> None:
        if "\0" in tenant_id or await self._db.fetchrow(ROUTING_SQL.tenant_plan, tenant_id) is None:
            raise TenantNotFound(f"there is no tenant {tenant_id!r}")


def _guard_view(guard: Guard) -> Json:
    baselines = (ComparisonWindow.of_stored(guard.since).baselines if guard.since else None) or {}
    return {
        "tenant_id": guard.tenant_id,
        "phase": guard.phase,
        "redis_stage": guard.redis_stage,
        "moved_at": guard.moved_at,
        "entry_id": guard.entry_id,
        "armed_at": guard.armed_at,
        "rollbacks": guard.rollbacks,
        "rolled_back_at": guard.rolled_back_at,
        "cooldown_ends": guard.cooldown_ends,
        "holds": guard.holds,
        "notes": [one.why for one in guard.concerns.values() if one.why not in guard.holds],
        "compared": [
            {"task_type": name, "baseline": one.failed.asked, "failed": one.failed.yes}
            for name, one in baselines.items()
        ],
    }


def _setting_view(row: Any) -> Json:
    return {**json.loads(row["settings"]), "scope": row["scope"], "who": row["who"], "why": row["why"], "at": row["at"]}
