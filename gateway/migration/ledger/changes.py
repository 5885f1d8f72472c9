"""Changes through the door in the ledger: written with them, and taken back when they were not made after all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.migration.ledger.flips import SEVERAL
from gateway.migration.ledger.writer import OVERRIDE, SQL, Flip, append
from gateway.routing.query import Scope
from gateway.routing.scope_names import scope_name
from gateway.routing.stages import Stage
from gateway.storage.database import type_Connection


def override_flip(
    scope: Scope,
    before: Stage | None,
    after: Stage | None,
    who: str,
    why: str,
    version: int,
    evidence: Mapping[str, Any] | None = None,
) -> Flip:
    """Of an override that is set, replaced or cleared."""
    return Flip(OVERRIDE, scope_name(scope), before, after, who, why, str(version), evidence or {})


def undone(flip: Flip, reason: str, entry_id: int) -> Flip:
    """The entry that takes another one back, which has this id, because its change was not made."""
    said = {
        new: flip.evidence[old] for new, old in (("before", "setting"), ("setting", "before")) if old in flip.evidence
    }
    if flip.scope == SEVERAL:
        said["scopes"] = {scope: pair[::-1] for scope, pair in flip.evidence["scopes"].items()}
    why = f"not made: {reason}"
    return replace(flip, before=flip.after, after=flip.before, why=why, evidence=said, undoes=entry_id)


async def append_all(connection: type_Connection, flips: Sequence[Flip]) -> list[int]:
    """Write the entries, as part of the transaction of the change itself; their ids. Raises as `append`."""
    entries = []
    for flip in flips:
        entry = await append(connection, flip)
        entries.append(entry)
        if flip.scope == SEVERAL:
            scopes: dict[str, list[str]] = flip.evidence["scopes"]
            texts = [pair[1] for pair in scopes.values()]
            await connection.execute(SQL.put_in_force, flip.layer, list(scopes), texts, flip.seen_as, entry)
    return entries
