"""Tasks as rows, with claims and failures made by hand: what dead letters are written from."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions


class Silent:
    """Nobody listens."""

    def changed(self, task_id: str) -> None:
        return None


@pytest.fixture
def transitions(database: Database) -> Transitions:
    return Transitions(database, Silent())


FailTask = Callable[..., Awaitable[str]]


@pytest.fixture
async def new_task(database: Database) -> Callable[..., Awaitable[str]]:
    """A task that its engine holds; keywords are columns of its dispatch row."""
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)"
        " VALUES ('w1', 'worker', 'elsewhere', 1, '0', 7)"
    )

    async def create(**columns: Any) -> str:
        task_id = columns.pop("task_id", secrets.token_hex(8))
        payload = columns.pop("payload", {"content": "x"})
        values = {"group_id": "g", "task_type": "probe", "state": "queued", "backend": "redis", "epoch": 1, **columns}
        await database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)"
            " VALUES ($1, $2, $3, 'PROCESSING', $4::json, 0, 0)",
            task_id,
            values["group_id"],
            values["task_type"],
            json.dumps({**payload, "task_id": task_id, "task_type": values["task_type"], "timestamp": 1.5}),
        )
        names = ", ".join(values)
        places = ", ".join(f"${i}" for i in range(2, len(values) + 2))
        await database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, {names}) VALUES ($1, {places})", task_id, *values.values()
        )
        return task_id

    return create


@pytest.fixture
def fail_task(new_task: Any, transitions: Transitions, database: Database) -> FailTask:
    """A task that was claimed and failed for good."""

    async def fail(error: str = "boom", error_type: str = "RuntimeError", **columns: Any) -> str:
        task_id = await new_task(**columns)
        await fail_again(transitions, database, task_id, error, error_type)
        return task_id

    return fail


async def fail_again(
    transitions: Transitions, database: Database, task_id: str, error: str = "boom", error_type: str = "RuntimeError"
) -> None:
    """A run of a task that its engine holds, to its failure for good."""
    row = await database.fetchrow("SELECT backend, epoch FROM taskgate.dispatch WHERE task_id = $1", task_id)
    assert row is not None
    claim = await transitions.claim(task_id, row["backend"], row["epoch"], "w1", with_payload=False)
    assert claim is not None
    await transitions.fail(
        task_id, claim.attempt, error, final=True, engine_retries=False, error_type=error_type, stack="in probe"
    )
