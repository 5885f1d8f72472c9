"""The flips, newest first, with what ran under each and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.errors import TenantNotFound
from gateway.migration.ledger.explanation import SQL, entry_document
from gateway.migration.ledger.flag_settings import ALL, CONDITIONS, DEFAULT
from gateway.routing.overrides import SQL as ROUTING_SQL
from gateway.routing.query import Scope
from gateway.routing.scope_names import scope_name
from gateway.storage.database import Database
from gateway.storage.paging import cursor_in, parts_of

LARGEST_PAGE = 200

#: What cursors call the list.
LIST = "flips"


class FlipLog:
    """For administrators; the faces see to it."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(
        self, *, tenant_id: str | None, since: datetime | None, cursor: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Entries, and the cursor of the next page. With a tenant those that may concern it: its own scopes, those of
        its projects, the default, and rules.

        Raises `TenantNotFound`, `InvalidRequest`, `DatabaseUnavailable`.
        """
        before = None if cursor is None else parts_of(cursor, LIST, int)[0]
        scopes = None if tenant_id is None else await self._scopes_of(tenant_id)
        rows = await self._db.fetch(SQL.entries, limit + 1, before, since, scopes)
        entries = [entry_document(row) or {} for row in rows[:limit]]
        tasks: dict[int, dict[str, int]] = {entry["id"]: {} for entry in entries}
        for row in await self._db.fetch(SQL.tasks_under, list(tasks)):
            tasks[row["entry_id"]][row["state"]] = row["tasks"]
        for entry in entries:
            entry["tasks"] = tasks[entry["id"]]
        return entries, cursor_in(LIST, entries[-1]["id"]) if len(rows) > limit else None

    async def _scopes_of(self, tenant_id: str) -> list[str]:
        if await self._db.fetchrow(ROUTING_SQL.tenant_plan, tenant_id) is None:
            raise TenantNotFound
        projects = await self._db.fetch(SQL.projects_of, tenant_id)
        own = [Scope(tenant_id), *(Scope(None, row["id"]) for row in projects)]
        return [*map(scope_name, own), DEFAULT, ALL, CONDITIONS]
