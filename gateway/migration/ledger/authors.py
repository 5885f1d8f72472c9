"""Who made a change of routing, and why: read from the record of the flag's source, where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.migration.ledger.writer import SQL
from gateway.routing.flag_file import FlagFile
from gateway.routing.flags import FlagSource
from gateway.routing.scope_names import scope_of
from gateway.storage.database import Database, type_Connection


@dataclass(frozen=True, slots=True)
class Author:
    """`who` is empty when nobody is named."""

    who: str
    why: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


class AuditLog(Protocol):
    """LaunchDarkly's record of changes."""

    async def newest(self) -> Author | None:
        """Who changed the flag last; None: it does not say."""


class Authors:
    """Looks into the record of the flag's source. `audit_log` None: nothing is known of changes in LaunchDarkly."""

    def __init__(self, database: Database, flags: FlagSource, audit_log: AuditLog | None) -> None:
        self._db = database
        self._flags = flags
        self._audit_log = audit_log

    async def of_flag(self, version: str, *, by_hand: bool) -> Author:
        """Of this version of the flag; `by_hand`: it said something else before. Raises `DatabaseUnavailable`."""
        if by_hand:
            return Author("", f"version {version} in {self._flags.owner} was changed by hand")
        found: Author | None = None
        if self._flags.source == "database" and version.isdigit():
            row = await self._db.fetchrow(SQL.author_of_version, int(version))
            found = None if row is None else Author(row["who"], row["why"])
        elif self._flags.source == "file" and self._flags.file is not None:
            history = await asyncio.to_thread(FlagFile(self._flags.file, self._flags.flag_key).history)
            number = version.partition(":")[0]
            found = next((Author(one.who, one.why) for one in history[-1:] if str(one.version) == number), None)
        elif self._audit_log is not None:
            found = await self._audit_log.newest()
        return found or Author("", f"seen in {self._flags.owner}; nobody is named")

    async def of_end(self, db: type_Connection, scope: str) -> Author:
        """Of the end of an override."""
        at = scope_of(scope)
        row = await db.fetchrow(SQL.end_of_override, at.tenant_id, at.project_id, at.task_type, str(at))
        assert row is not None
        if row["expires_at"] is not None:
            evidence = {"expired_at": row["expires_at"].isoformat(), "set_by": row["set_by"]}
            return Author("", f"it expired; it was set because: {row['set_why']}", evidence)
        if row["actor"] is not None:
            return Author(row["actor"], row["why"] or "")
        return Author("", "its row was removed by hand")
