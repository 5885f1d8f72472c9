"""Where a task was sent and how its runs ended: the facts beside its `task_logs` row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.access.placement import Caller
from gateway.errors import TaskNotFound
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.queries.task_log import STATUS_WORDS

SQL = Queries("gateway.tasks.queries", "dispatch_view.sql")
_TASK = SQL.task.replace("/*columns*/", SQL.columns)


class DispatchView:
    """Reads the gateway's own tables. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def get(self, task_id: str, caller: Caller) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The dispatch row and the attempts, oldest first.

        Raises `TaskNotFound` also for a task of a tenant that the caller does not belong to, and for a legacy row that
        the gateway never dispatched.
        """
        task = await self._db.fetchrow(_TASK, task_id)
        if task is None or not caller.sees(task["tenant_id"], task["project_id"]):
            raise TaskNotFound
        caller.check(task["tenant_id"], task["project_id"])
        return dict(task), [dict(attempt) for attempt in await self._db.fetch(SQL.attempts, task_id)]

    async def project_of_memory(self, memory_id: str) -> str | None:
        """The project that a memory belongs to, None for an unknown memory."""
        value: str | None = await self._db.fetchval(SQL.project_of_memory, memory_id)
        return value


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """The answer about a task, from a row of the dispatch view."""
    task = dict(row)
    pauses = [task.pop(f"retry_{name}") for name in ("initial", "coefficient", "maximum")]
    initial, coefficient, maximum = pauses
    retry = {"initial_seconds": initial, "coefficient": coefficient, "maximum_seconds": maximum}
    return task | {
        "status": STATUS_WORDS[task["status"]],
        "labels": _parsed(task["labels"]) or {},
        "callback": _parsed(task["callback"]),
        "retry": retry if any(value is not None for value in pauses) else None,
        "task_url": f"/api/v1/tasks/{task['task_id']}",
    }


def _parsed(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
