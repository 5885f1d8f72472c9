"""`TaskLog`: reads of `task_logs` as the API shows them, limited to what the caller may see (contract §2, quirk A1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway.access.placement import Caller
from gateway.errors import TaskNotFound
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.stats import PARTS, QueueDepthPoint, TaskStatistics, TaskStats
from gateway.tasks.queries.task_row import UNFINISHED, Status, TaskRow

SQL = Queries("gateway.tasks.queries", "task_log.sql")

Rows = list[TaskRow]
Points = list[QueueDepthPoint]

#: The words of the list at `/api/v1/tasks/` (contract §2).
STATUS_WORDS = {
    Status.PENDING: "pending",
    Status.PROCESSING: "running",
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.STOPPED: "cancelled",
}
_STATUS_OF_WORD = {word: status for status, word in STATUS_WORDS.items()}

#: In which phases of `dispatch` tasks of a status are found, beside the unfinished ones.
_UNFINISHED = ("waiting", "open")
_PHASES = {
    None: (*_UNFINISHED, "completed", "failed", "stopped"),
    Status.PENDING: _UNFINISHED,
    Status.PROCESSING: _UNFINISHED,
    Status.COMPLETED: ("completed", *_UNFINISHED),
    Status.FAILED: ("failed", "stopped", *_UNFINISHED),
    Status.STOPPED: ("stopped", *_UNFINISHED),
}

#: Characters. PostgreSQL's index refuses longer ids; a longer pattern only takes time.
_LONGEST_ID = 2700
_FULL_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def storable(text: str) -> bool:
    """Whether PostgreSQL can store this text; a text that it cannot store matches nothing."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list, newest first: right after the task of this time (None: they come first) and id."""

    created_at: datetime | None
    task_id: str


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks; None means any. `search`: a part of the task's or the worker's id, in any case. `after`: where the
    list begins. `ids`: one of these tasks."""

    status: Status | None = None
    task_type: str | None = None
    search: str | None = None
    entity_id: str | None = None
    entity_type: str | None = None
    after: Position | None = None
    ids: tuple[str, ...] | None = None


class TaskLog:
    """Reads tasks. A `caller` sees the tasks of its tenants, an administrator all; None stands for the gateway itself.

    Every method raises `DatabaseUnavailable`.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._statistics = TaskStatistics(database)

    def close(self) -> None:
        """Do nothing in the background any more."""
        self._statistics.close()

    async def get(self, task_id: str, caller: Caller | None) -> TaskRow:
        """One task. Raises `TaskNotFound`, also for a task that the caller may not see; `Forbidden`."""
        row = (await self.read([task_id])).get(task_id)
        if row is None or not (caller is None or caller.sees(row.tenant_id, row.project_id)):
            raise TaskNotFound
        if caller is not None:
            caller.check(row.tenant_id, row.project_id)
        return row

    async def read(self, task_ids: Iterable[str]) -> dict[str, TaskRow]:
        """Those of the tasks that exist, with their tenants, whoever may see them: one query."""
        records = await self._db.fetch(_READ, [task_id for task_id in task_ids if storable(task_id)])
        return {record["id"]: TaskRow.of(record) for record in records}

    async def progress_of(self, task_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Shown status and progress of those of the tasks that exist: one query."""
        records = await self._db.fetch(SQL.progress_of, [task_id for task_id in task_ids if storable(task_id)])
        return {record["id"]: (record["status"], record["progress"] or 0) for record in records}

    async def recent(
        self,
        caller: Caller,
        *,
        status: str | None = None,
        task_type: str | None = None,
        search: str | None = None,
        entity_id: str | None = None,
        entity_type: str | None = None,
        limit: int = 50,
        offset: int = 0,
        after: Position | None = None,
    ) -> Rows:
        """`GET /recent`: newest first, perhaps `after` a place. `All Statuses`, `All Types` and empty words are no
        filter; a status that does not exist has no tasks."""
        wanted: Status | None = None
        if status and status.casefold() != "all statuses":
            if status.upper() not in Status.__members__:
                return []
            wanted = Status(status.upper())
        if task_type and task_type.casefold() == "all types":
            task_type = None
        which = TaskFilter(wanted, task_type or None, search or None, entity_id or None, entity_type or None, after)
        return await self.select(caller, which, limit=limit, offset=offset)

    async def list(self, caller: Caller, *, status: str | None = None, limit: int = 50) -> Rows:
        """`GET /`: newest first. `status` is one of the words of `STATUS_WORDS`, whatever its case; another one has no
        tasks."""
        wanted = _STATUS_OF_WORD.get(status.lower()) if status else None
        if status and wanted is None:
            return []
        return await self.select(caller, TaskFilter(wanted), limit=limit)

    async def select(self, caller: Caller, which: TaskFilter, *, limit: int, offset: int = 0) -> Rows:
        """The caller's tasks that match, newest first."""
        texts = (which.task_type, which.search, which.entity_id, which.entity_type)
        if not all(text is None or storable(text) for text in texts):
            return []
        if which.after is not None and not storable(which.after.task_id):
            return []
        if not caller.is_admin and not caller.tenant_ids:
            return []
        if which.search is not None and len(which.search) > _LONGEST_ID:
            return []
        if which.search is not None and _FULL_ID.fullmatch(which.search):
            # A complete id selects its task. Only if there is none, search for a part.
            exact = replace(which, search=None, ids=(which.search, which.search.lower(), which.search.upper()))
            if rows := await self._fetch(*_compose(caller, exact, is_rare=True), limit, offset):
                return rows
        is_rare = not caller.is_admin and await self._is_rare(which)
        return await self._fetch(*_compose(caller, which, is_rare=is_rare), limit, offset)

    async def _fetch(self, query: str, arguments: Sequence[Any], limit: int, offset: int) -> Rows:
        return [TaskRow.of(record) for record in await self._db.fetch(query, limit, offset, *arguments)]

    async def _is_rare(self, which: TaskFilter) -> bool:
        """Whether so few tasks of all tenants match the filter that it is best to begin with those."""
        if which.entity_id is not None:
            return True
        if which.entity_type is None:
            return False
        return bool(await self._db.fetchval(SQL.is_rare_entity_type, which.entity_type))

    async def stats(self, caller: Caller) -> TaskStats:
        """`GET /stats` over the caller's tasks."""
        return await self._statistics.stats(caller)

    async def queue_depth(self, caller: Caller) -> Points:
        """`GET /queue-depth` over the caller's tasks."""
        return await self._statistics.queue_depth(caller)

    async def status_breakdown(self, caller: Caller) -> dict[str, int]:
        """`GET /status-breakdown` over the caller's tasks."""
        return await self._statistics.status_breakdown(caller)


class _Parameters:
    """Numbers the parameters of a statement that is put together."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.values: list[Any] = []

    def bind(self, block: str, value: Any, kind: str = "text", name: str = ":value") -> str:
        """The block with the parameter in the place of `name`."""
        self.values.append(value)
        return block.replace(name, f"${self._first + len(self.values) - 1}::{kind}")


def _compose(caller: Caller, which: TaskFilter, *, is_rare: bool) -> tuple[str, list[Any]]:
    """The statement that lists these tasks, and its arguments from $3 on ($1 is the limit, $2 the offset)."""
    tenants = [] if caller.is_admin else [sorted(caller.tenant_ids)]
    parameters = _Parameters(first=3 + len(tenants))
    conditions: list[str] = []
    if which.status is not None:
        conditions.append(getattr(SQL, f"where_{which.status}"))
    by_row = caller.is_admin or is_rare
    if which.ids is not None:
        conditions.append(parameters.bind(SQL.where_ids, which.ids, "text[]"))
    for block, value in (
        (SQL.where_entity, which.entity_id),
        (SQL.where_type, which.task_type),
        (SQL.where_entity_type, which.entity_type),
        (SQL.by_type, which.task_type if caller.is_admin else None),
        (SQL.by_entity_type, which.entity_type if by_row else None),
        (SQL.where_search, None if which.search is None else f"%{escape_like(which.search)}%"),
    ):
        if value is not None:
            conditions.append(parameters.bind(block, value))
    beyond = "true"
    if which.after is not None:
        condition, beyond = _after(which.after, parameters)
        conditions.append(condition)
    where = " AND ".join(conditions) or "true"
    if caller.is_admin:
        few = (which.ids, which.entity_id, which.entity_type)
        has_own_index = any(value is not None for value in few)
        parts = ("true",) if has_own_index else tuple(PARTS.values())
        query = SQL.list_all.replace(
            "/*parts*/", " UNION ALL ".join(SQL.part_of_all.replace("/*part*/", part) for part in parts)
        )
    elif is_rare:
        query = SQL.list_of_few
    else:
        query = _of_tenants(which, parameters)
    query = query.replace("/*columns*/", SQL.columns).replace("/*where*/", where).replace("/*tenant*/", SQL.tenant)
    query = query.replace("/*beyond*/", beyond)
    return query, [*tenants, *parameters.values]


def _of_tenants(which: TaskFilter, parameters: _Parameters) -> str:
    """Both sources of a tenant's list, each by the index that fits the filter best."""
    named_statuses: Iterable[str] = Status
    if which.status is not None:
        named_statuses = UNFINISHED if which.status in UNFINISHED else (which.status,)
    if which.status is None and which.task_type is not None:
        dispatched = parameters.bind(SQL.dispatched_of_type, which.task_type)
    else:
        dispatched = parameters.bind(SQL.dispatched, _PHASES[which.status], "text[]", ":phases")
    if which.status is None and which.task_type is not None:
        named = parameters.bind(SQL.named_of_type, which.task_type)
    else:
        named = parameters.bind(SQL.named, [str(status) for status in named_statuses], "text[]", ":statuses")
    return SQL.list_of_tenants.replace("/*dispatched*/", dispatched).replace("/*named*/", named)


def _after(position: Position, parameters: _Parameters) -> tuple[str, str]:
    """The conditions, on the row and on its dispatch row, for what comes after this place in a list."""
    if position.created_at is None:
        return parameters.bind(SQL.where_after_undated, position.task_id), "true"
    at = parameters.bind(":value", position.created_at, "timestamptz")
    task_id = parameters.bind(":value", position.task_id)

    def fill(block: str) -> str:
        return block.replace(":at", at, 1).replace(":id", task_id, 1)

    return fill(SQL.where_after), fill(SQL.dispatched_after)


def escape_like(text: str) -> str:
    """Text that stands for itself in a LIKE pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_READ = SQL.read.replace("/*columns*/", SQL.columns).replace("/*tenant*/", SQL.tenant)
