"""The flip ledger's one writer: a change of effective routing is in force only with its entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from gateway.audit.chain import Entry, evidence_text
from gateway.audit.writer import append_entry, append_entry_locked, lock, refusing
from gateway.routing.stages import Stage
from gateway.storage.database import type_Connection
from gateway.storage.queries import Queries

SQL = Queries("gateway.migration.ledger", "ledger.sql")

#: Kinds of entries: a change of effective routing, and a step of a plan.
FLIP: Final = "flip"
PLAN: Final = "plan"
#: The source of a change of the override table; every other one names where a flag comes from.
OVERRIDE: Final = "override"
_SAID: Final = ("source", "scope", "before", "after", "who", "why", "evidence")


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of what is set for one scope.

    `source`: `file`, `database`, `launchdarkly`, `override`, `genesis`. `scope`: `tenant:acme`, `project:p1`,
    `type:add_episode`, several joined by commas in the order project, tenant, type; `default`; `all`
    (`gateway.routing.scope_names`). `before` and `after` are None where nothing is set, or no single stage:
    `evidence["setting"]` says the latter in words. `who` is empty where the source names nobody.
    """

    source: str
    scope: str
    before: Stage | None
    after: Stage | None
    who: str
    why: str
    version: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    undoes: int | None = None
    """The entry that this one takes back, because its change was not made after all."""

    @property
    def layer(self) -> str:
        """Overrides stand above the flag; each has its own setting of a scope."""
        return OVERRIDE if self.source == OVERRIDE else "flag"

    @property
    def setting(self) -> str:
        """What is set now, in words; empty: nothing."""
        return str(self.evidence.get("setting") or self.after or "")

    @property
    def seen_as(self) -> str:
        """Source and version, as other gateways compare them."""
        return f"{self.source}:{self.version}"


async def append(connection: type_Connection | asyncpg.Connection, flip: Flip) -> int:
    """Write the entry, as part of the transaction of the change itself; its id.

    Others who append wait until that transaction ends: do it last. Raises `LedgerUnwritable` when PostgreSQL refuses
    it (the change must not be made then; the transaction can only be rolled back), `DatabaseUnavailable`.
    """
    with refusing():
        await lock(connection)
        return await append_locked(connection, flip)


async def append_locked(connection: type_Connection | asyncpg.Connection, flip: Flip) -> int:
    """As `append`, for a transaction that holds the lock of the chain already; the driver's errors as they are."""
    entry_id = await append_entry_locked(connection, _entry(FLIP, flip), undoes=flip.undoes)
    await connection.execute(SQL.put_in_force, flip.layer, [flip.scope], [flip.setting], flip.seen_as, entry_id)
    return entry_id


async def append_step(
    connection: type_Connection, plan: str, who: str, why: str, evidence: Mapping[str, Any] | None = None
) -> int:
    """Write a step of a plan that changes no routing by itself. As `append`, also what it raises."""
    step = Flip("plan", f"plan:{plan}", None, None, who, why, evidence=evidence or {})
    return await append_entry(connection, _entry(PLAN, step))


def says_the_same(flip: Flip, row: Mapping[str, Any]) -> bool:
    """Whether an entry in a row is that of this change, whatever the version of the flag was."""
    entry = _entry(FLIP, flip)
    return all(row[name] == getattr(entry, name) for name in _SAID)


def _entry(kind: str, flip: Flip) -> Entry:
    change, evidence = (flip.before, flip.after), evidence_text(flip.evidence)
    return Entry(kind, flip.source, flip.scope, *change, flip.who, flip.why, flip.version, evidence)
