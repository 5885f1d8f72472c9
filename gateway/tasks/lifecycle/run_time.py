"""When a waiting task runs."""

from __future__ import annotations

from datetime import datetime

from gateway.errors import InvalidRequest, TaskNotWaiting
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import DUE_CHANNEL

SQL = Queries("gateway.tasks.lifecycle", "run_time.sql")


async def set_run_time(database: Database, task_id: str, run_at: datetime | None) -> datetime:
    """Give a waiting task another time (None: now), and return it.

    Raises `TaskNotWaiting` for a task that an engine has or had, or that is over; `InvalidRequest` for a time after
    its deadline; `DatabaseUnavailable`.
    """
    row = await database.fetchrow(SQL.set_run_time, task_id, run_at, DUE_CHANNEL)
    if row is None:
        raise TaskNotWaiting
    if row["is_too_late"]:
        raise InvalidRequest("The task has to start before that time.", field="run_at")
    due_at: datetime = row["due_at"]
    return due_at
