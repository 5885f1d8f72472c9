"""Tasks that ended long ago, on a real PostgreSQL, and the deletion of what is old."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.retention.pace import Pace
from gateway.retention.periods import Period, Periods
from gateway.retention.retention import Retention
from gateway.storage.database import Database

OldTask = Callable[..., Awaitable[str]]


class PacedServer:
    """Each transaction that deletes takes so many seconds, on a clock that nothing else moves."""

    def __init__(self, seconds: float) -> None:
        self.now = self.rested = 0.0
        self._seconds = seconds
        self.deleted: dict[str, list[int]] = {}

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.rested += seconds

    def on_deleted(self, table: str, rows: int) -> None:
        self.now += self._seconds
        self.deleted.setdefault(table, []).append(rows)

    @property
    def more(self) -> dict[str, Any]:
        return {"pace": Pace(clock=self.clock, sleep=self.sleep), "on_deleted": self.on_deleted}


@pytest.fixture
async def acme(database: Database) -> str:
    """A tenant with the project `p`."""
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u')")
    await database.execute(
        "INSERT INTO tenants (id, name, owner_id) VALUES ('acme', 'acme', 'u'), ('other', 'other', 'u')"
    )
    await database.execute("INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ('p', 'acme', 'p', 'u')")
    return "acme"


@pytest.fixture
def old_task(database: Database, acme: str) -> OldTask:
    """A task of `acme`, as the gateway writes it, with one counted run; it ended so many `days` ago.

    `columns` are those of `dispatch`.
    """

    async def create(days: float = 40, *, payload: Any = None, **columns: Any) -> str:
        task_id = columns.pop("task_id", secrets.token_hex(8))
        given = {"tenant_id": columns.get("tenant_id", acme), "task_id": task_id, **(payload or {})}
        values = {"tenant_id": acme, "state": "completed", "backend": "redis", "epoch": 1, "attempt": 1, **columns}
        status = {"completed": "COMPLETED", "failed": "FAILED", "stopped": "FAILED"}.get(values["state"], "PROCESSING")
        age = timedelta(days=days)
        await database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, created_at, completed_at)"
            " VALUES ($1, 'p', 'probe', $2::text, $3::json, now() - $4::interval,"
            " CASE WHEN $2::text <> 'PROCESSING' THEN now() - $4::interval END)",
            task_id, status, "\t" + json.dumps(given), age,
        )  # fmt: skip
        names, places = ", ".join(values), ", ".join(f"${n}" for n in range(3, len(values) + 3))
        await database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, group_id, task_type, created_at, finished_at, {names})"
            f" VALUES ($1, 'p', 'probe', now() - $2::interval, now() - $2::interval, {places})",
            task_id, age, *values.values(),
        )  # fmt: skip
        await database.execute(
            "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, outcome, is_counted)"
            " VALUES ($1, 1, 1, 'redis', 'w', 'completed', true)",
            task_id,
        )
        return task_id

    return create


@pytest.fixture
def retention(database: Database) -> Callable[..., Retention]:
    """Tasks are remembered for 30 days, rows of `task_logs` for good. `more`: what else a `Retention` takes."""

    def build(destination: Any = None, *, more: Any = None, **periods: Any) -> Retention:
        given = {
            "tasks": Period(30),
            "task_logs": None,
            "firings": Period(90),
            "operations": 30,
            "idempotency_hours": 24,
        }
        return Retention(database, Periods(**(given | periods)), destination, **(more or {}))

    return build


@pytest.fixture
def remembered(database: Database) -> Callable[[], Awaitable[set[str]]]:
    """Tasks that have a dispatch row."""

    async def read() -> set[str]:
        return {row["task_id"] for row in await database.fetch("SELECT task_id FROM taskgate.dispatch")}

    return read


@pytest.fixture
def server_taking() -> type[PacedServer]:
    """`server_taking(seconds).more` is for `retention`."""
    return PacedServer
