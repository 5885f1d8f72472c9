"""Bulk operations: begin, show, abort."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import asyncpg
import orjson
from pydantic import Field

from gateway.access.placement import Caller
from gateway.audit import acts
from gateway.audit.acts import Act
from gateway.errors import InvalidRequest, NotFound
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.task_selection import Selection, TaskSelector, Text, Wanted

SQL = Queries("gateway.operations", "operations.sql")

Action = Literal["cancel", "retry", "redrive", "reprioritise"]
OperationState = Literal["running", "completed", "aborted"]

#: The states of tasks to which an action applies; other tasks do not belong to the operation.
ACTIONABLE: dict[str, frozenset[str]] = {
    "cancel": frozenset(("waiting", "starting", "queued", "running")),
    "retry": frozenset(("failed", "stopped")),
    "redrive": frozenset(("failed",)),
    "reprioritise": frozenset(("waiting", "starting", "queued")),
}
SAMPLE = 10
MOST_IDS = 1000

Row = dict[str, Any]


class TaskSelection(Selection):
    """Filters that select the tasks of an operation. At least one is required. All given filters must match."""

    labels: dict[str, str] = Field(
        default_factory=dict, max_length=32, description="Only tasks that have all of these labels."
    )
    ids: Annotated[list[Text], Field(max_length=MOST_IDS)] = Field(
        default_factory=list, description="Only these tasks. Default: any."
    )


class Operations:
    """Stores operations; `wake` is called when there is a new one. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._selector = TaskSelector(database)

    async def begin(
        self,
        caller: Caller,
        action: Action,
        selection: TaskSelection,
        *,
        priority: int | None = None,
        dry_run: bool = False,
        why: str | None = None,
    ) -> Row:
        """Begin an operation on the present tasks of the caller; a dry run only counts them.

        Raises `InvalidRequest` for a selection of everything, and for a priority that is missing or not wanted;
        `Forbidden` for a tenant that is not the caller's.
        """
        asked = selection.model_dump(mode="json", exclude_defaults=True)
        if not asked:
            raise InvalidRequest("filter selects every task; name at least one property.", field="filter")
        if (priority is not None) != (action == "reprioritise"):
            raise InvalidRequest("priority is required for reprioritise, and not allowed otherwise.", field="priority")
        caller.check_all(selection.tenant_id, selection.project_id)
        now = datetime.now(UTC)
        wanted = Wanted(caller, upto(selection, now), selection.labels, ACTIONABLE[action], selection.ids)
        first = await self._selector.positions(wanted, limit=SAMPLE)
        total = await self._selector.count(wanted) if first else 0
        return await self.record(
            caller,
            action,
            asked,
            total=total,
            sample=[position.task_id for position in first],
            now=now,
            dry_run=dry_run,
            why=why,
            priority=priority,
        )

    async def record(
        self,
        caller: Caller,
        action: Action,
        asked: dict[str, Any],
        *,
        total: int,
        sample: list[str],
        now: datetime,
        dry_run: bool,
        why: str | None,
        priority: int | None = None,
        letters: dict[str, Any] | None = None,
    ) -> Row:
        """Store an operation on tasks, or on dead letters (`letters` says how)."""
        operation_id = str(uuid.uuid4())
        async with self._db.transaction() as db:
            row = await db.fetchrow(
                SQL.begin.replace("/*columns*/", SQL.columns),
                operation_id,
                action,
                priority,
                orjson.dumps(asked).decode(),
                caller.user_id,
                None if caller.is_admin else sorted(caller.tenant_ids),
                why,
                dry_run,
                total,
                sample,
                now,
                None if letters is None else orjson.dumps(letters).decode(),
            )
            assert row is not None
            detail = {"selection": asked, "priority": priority, "dry_run": dry_run, "total": total}
            act = Act(f"operation.{action}", f"operation:{operation_id}", caller.user_id, why, detail=detail)
            await acts.record(db, act)
        return _shown(row)

    async def get(self, operation_id: str, caller: Caller) -> Row:
        """Raises `NotFound`, also for an operation on tasks that the caller may not all see."""
        row = await self._db.fetchrow(SQL.get.replace("/*columns*/", SQL.columns), operation_id)
        if row is None or not _sees(caller, row):
            raise NotFound("Operation not found")
        return _shown(row)

    async def list(self, caller: Caller, *, state: str | None, limit: int) -> list[Row]:
        """The operations that the caller may see, the latest first."""
        tenants = None if caller.is_admin else sorted(caller.tenant_ids)
        author = caller.user_id if caller.only is None else None
        query = SQL.list.replace("/*columns*/", SQL.columns)
        return [_shown(row) for row in await self._db.fetch(query, tenants, author, state, limit)]

    async def abort(self, operation_id: str, caller: Caller) -> Row:
        """End an operation after its present chunk; one that is over does not change. Raises `NotFound`."""
        operation = await self.get(operation_id, caller)
        if operation["user_id"] != caller.user_id:
            for tenant_id in operation["tenant_ids"] or ():
                caller.check_all(tenant_id, None)
        async with self._db.transaction() as db:
            await db.execute(SQL.be_next, operation_id)
            row = await db.fetchrow(SQL.abort, operation_id)
            if row is not None:
                act = Act("operation.abort", f"operation:{operation_id}", caller.user_id, detail=dict(row))
                await acts.record(db, act)
        return await self.get(operation_id, caller)


def upto(selection: TaskSelection, created: datetime) -> TaskSelection:
    """The same selection, without tasks that are created later."""
    before = selection.created_before
    return selection.model_copy(update={"created_before": created if before is None else min(before, created)})


def _sees(caller: Caller, row: asyncpg.Record) -> bool:
    if caller.is_admin or (caller.only is None and row["user_id"] == caller.user_id):
        return True
    # What somebody without a tenant began is of no tenant: nobody else's.
    return bool(row["tenant_ids"]) and caller.tenant_ids.issuperset(row["tenant_ids"])


def _shown(record: asyncpg.Record) -> Row:
    row = dict(record)
    row["filter"] = orjson.loads(row.pop("selection"))
    row["errors"] = orjson.loads(row["errors"])
    return row
