"""What the leader writes, each in one transaction; a rollback with its override and its entry of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.errors import TaskgateError
from gateway.migration.guardrails.decision import Decision
from gateway.migration.guardrails.event import GuardrailEvent, Kind
from gateway.migration.guardrails.guard import Guard
from gateway.migration.guardrails.places import AUTHOR
from gateway.migration.guardrails.store import SQL, add_events, lock_as_read, put_guard
from gateway.migration.guardrails.webhook import Webhook
from gateway.migration.ledger.changes import override_flip
from gateway.migration.ledger.writer import append
from gateway.routing.overrides import PLAN_AUTHOR, load_overrides, lock_overrides, set_override
from gateway.routing.query import Scope
from gateway.storage.database import Database, type_Connection
from gateway.tasks import fault_points


class Overruled(TaskgateError):
    """A person set an override meanwhile."""

    code = "overruled"


async def roll_back(db: Database, decision: Decision, webhook: Webhook, *, version: int) -> Guard:
    """Put the tenant back on Redis; the guard as it was written. `version`: of guards and settings as they were read.

    Nothing is changed when this raises: `Overruled` (in words by whom), `GuardChanged`, `LedgerUnwritable`,
    `DatabaseUnavailable`.
    """
    guard, scope = decision.guard, Scope(decision.guard.tenant_id)
    told = next(one for one in decision.events if one.kind is Kind.ROLLED_BACK)
    fault_points.passing("before_rollback")
    async with db.transaction() as connection:
        await lock_as_read(connection, version)
        await lock_overrides(connection)
        before = None
        for row in await load_overrides(connection):
            if row.scope == scope and row.set_by not in (AUTHOR, PLAN_AUTHOR):
                raise Overruled(f"override for {scope} by {row.set_by}: {row.why}")
            before = row if row.scope == scope else before
        why = f"rolled back from temporal: {told.why}"
        row = await set_override(connection, scope, guard.redis_stage, by=AUTHOR, why=why)
        written = await put_guard(connection, guard)
        await webhook.tell(connection, decision.events)
        was = None if before is None else before.stage
        entry = await append(
            connection, override_flip(scope, was, guard.redis_stage, AUTHOR, why, row.version, told.evidence)
        )
        await add_events(connection, decision.events, entry_id=entry)
        fault_points.passing("in_rollback")
    fault_points.passing("after_rollback")
    return replace(guard, version=written)


async def write_down(
    db: Database, guards: Sequence[Guard], events: Sequence[GuardrailEvent], webhook: Webhook, *, version: int
) -> list[Guard]:
    """Guards that did not roll back, and what is told of them. Raises `GuardChanged`, `DatabaseUnavailable`."""
    async with db.transaction() as connection:
        await lock_as_read(connection, version)
        written = [replace(guard, version=await put_guard(connection, guard)) for guard in guards]
        await tell(connection, events, webhook)
    return written


async def freeze(db: Database, why: str, webhook: Webhook, *, version: int) -> None:
    """Let nothing be changed until a person unfreezes. Raises `GuardChanged`, `DatabaseUnavailable`."""
    async with db.transaction() as connection:
        await lock_as_read(connection, version)
        await connection.execute(SQL.freeze, why)
        await tell(connection, [GuardrailEvent(Kind.FROZEN, None, why)], webhook)


async def tell(db: type_Connection, events: Sequence[GuardrailEvent], webhook: Webhook) -> None:
    """Write down what happened, as part of the transaction in which it did."""
    await webhook.tell(db, events)
    await add_events(db, events)
