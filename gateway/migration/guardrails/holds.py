"""Which moves forward guardrails refuse; every change of a stage is checked here first."""

from __future__ import annotations

import json

from gateway.migration.command import command
from gateway.migration.guardrails.errors import MoveHeld, MoveLocked
from gateway.migration.guardrails.guard import Phase
from gateway.migration.guardrails.policy import Response
from gateway.migration.guardrails.store import SQL
from gateway.routing.overrides import Executor
from gateway.routing.query import Scope
from gateway.routing.stages import REDIS, Stage, backend_of


async def check_holds(db: Executor, scope: Scope, stage: Stage | None, *, force: bool) -> list[str]:
    """The objections to this move that `force` overrules. `stage` None: an override is taken away.

    A project is a part of its tenant. Raises `MoveHeld`, and `MoveLocked` for a lock or a freeze: `force` does not
    overrule these, a person has to end them first.
    """
    if stage is not None and backend_of(stage) == REDIS:
        return []
    row = await db.fetchrow(SQL.held, scope.tenant_id, scope.project_id)
    assert row is not None
    if row["frozen"] is not None:
        unfreeze = command("migration guardrails unfreeze")
        raise MoveLocked(f"the guardrails are frozen: {row['frozen']}; look, then {unfreeze}")
    if row["phase"] is None:
        return []
    tenant = row["tenant_id"]
    if Phase(row["phase"]) is Phase.LOCKED:
        unlock = command("migration guardrails unlock", tenant=tenant)
        raise MoveLocked(f"tenant {tenant} was rolled back too often and is locked; look, then {unlock}")
    held = [one["why"] for one in json.loads(row["concerns"]).values() if one["response"] != Response.NOTIFY]
    if held and stage is not None and not force:
        raise MoveHeld(f"the guardrail of tenant {tenant} holds: {'; '.join(held)}; --force (force: true) insists")
    return [f"{why}; it is moved all the same" for why in held]
