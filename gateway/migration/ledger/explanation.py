"""Why a task was started where it was: each start with what decided, and the entry of the ledger behind it."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson

from gateway.access.placement import Caller
from gateway.errors import TaskNotFound
from gateway.routing.router import RouteQuery, Router
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.task_log import storable

SQL = Queries("gateway.migration.ledger", "reading.sql")

Document = dict[str, Any]


class Explanations:
    """Answers by one query, and what the router says now."""

    def __init__(self, database: Database, router: Router) -> None:
        self._db = database
        self._router = router

    async def why(self, task_id: str, caller: Caller) -> Document:
        """The starts of a task, the oldest first; none while it was never started.

        Who made a change, and its evidence, are for administrators. Raises `TaskNotFound`, also for a task of a tenant
        that the caller does not belong to, and for one that the gateway never had; `Forbidden`, `DatabaseUnavailable`.
        """
        rows = await self._db.fetch(SQL.why, task_id) if storable(task_id) else []
        if not rows or not caller.sees(rows[0]["tenant_id"], rows[0]["project_id"]):
            raise TaskNotFound
        task = rows[0]
        caller.check(task["tenant_id"], task["project_id"])
        now = self._router.explain(
            RouteQuery(
                task["tenant_id"],
                task["task_type"],
                task_id,
                task["project_id"],
                plan=task["plan"],
            )
        )
        return {
            "task_id": task_id,
            "tenant_id": task["tenant_id"],
            "state": task["state"],
            "stage_now": str(now.stage),
            "rule_now": now.rule,
            "starts": [_start(row, with_names=caller.is_admin) for row in rows if row["epoch"] is not None],
        }


def _start(row: asyncpg.Record, *, with_names: bool) -> Document:
    names = ("epoch", "attempt", "backend", "stage", "rule", "started_at", "ended_at", "outcome")
    return {name: row[name] for name in names} | {"entry": entry_document(row, with_names=with_names)}


def entry_document(row: asyncpg.Record, *, with_names: bool = True) -> Document | None:
    """An entry as it is answered; None: it has expired, or there is none."""
    if row["id"] is None:
        return None
    names = ("id", "at", "source", "scope", "before", "after", "why", "version")
    entry: Document = {name: row[name] for name in names}
    entry |= {"who": None, "evidence": None}
    if with_names:
        entry |= {"who": row["who"] or None, "evidence": orjson.loads(row["evidence"])}
    return entry
