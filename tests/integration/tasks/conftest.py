"""Rows of tasks, written as legacy code and as the gateway write them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.storage.database import Database
from gateway.tasks.queries.task_log import TaskLog

NOW = datetime.now(UTC)


class Tasks:
    """Writes rows of `task_logs`, and of `taskgate.dispatch` where a tenant is given."""

    def __init__(self, database: Database) -> None:
        self._db = database

    @staticmethod
    def ago(**age: float) -> datetime:
        """A moment before the tests began."""
        return NOW - timedelta(**age)

    async def add_project(self, project_id: str, tenant_id: str) -> None:
        await self._db.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u') ON CONFLICT DO NOTHING")
        await self._db.execute(
            "INSERT INTO tenants (id, name, owner_id) VALUES ($1, $1, 'u') ON CONFLICT DO NOTHING", tenant_id
        )
        await self._db.execute(
            "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ($1, $2, $1, 'u')", project_id, tenant_id
        )

    async def add(
        self,
        *,
        tenant: str | None = None,
        state: str | None = None,
        payload: Any = None,
        **columns: Any,
    ) -> str:
        """A task. With `tenant` or `state` it has a dispatch row; `payload` is JSON text, or a value to be written."""
        task_id = str(columns.pop("id", None) or uuid.uuid4())
        values = {
            "id": task_id,
            "group_id": "g",
            "task_type": "add_episode",
            "status": "COMPLETED",
            "created_at": self.ago(minutes=5),
            "payload": payload if payload is None or isinstance(payload, str) else json.dumps(payload),
            **columns,
        }
        names = ", ".join(values)
        places = ", ".join(f"${n}::json" if c in ("payload", "result") else f"${n}" for n, c in enumerate(values, 1))
        await self._db.execute(f"INSERT INTO task_logs ({names}) VALUES ({places})", *values.values())
        if tenant is not None or state is not None:
            mirrored = {"COMPLETED": "completed", "FAILED": "failed", "STOPPED": "stopped"}
            await self._db.execute(
                "INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, created_at)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                task_id,
                tenant,
                values["group_id"],
                values["task_type"],
                state or mirrored.get(values["status"], "queued"),
                values["created_at"],
            )
        return task_id


@pytest.fixture
def admin() -> Caller:
    return Caller("root", "key", True, frozenset())


@pytest.fixture
def member() -> Callable[..., Caller]:
    """Makes a caller who belongs to the given tenants."""
    return lambda *tenants: Caller("someone", "key", False, frozenset(tenants))


@pytest.fixture
def task_log(database: Database) -> TaskLog:
    return TaskLog(database)


@pytest.fixture
def tasks(database: Database) -> Tasks:
    return Tasks(database)
