"""Runs that a worker ended, and what is counted of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.migration.parity.evidence import Evidence, Outcome
from gateway.migration.parity.recorder import Recorder
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions

NewTask = Callable[..., Awaitable[str]]
RunTask = Callable[..., Awaitable[str]]


@pytest.fixture
def recorder(database: Database) -> Recorder:
    return Recorder(database)


@pytest.fixture
def evidence(database: Database) -> Evidence:
    return Evidence(database)


@pytest.fixture
def run_task(transitions: Transitions, new_task: NewTask, new_worker: Any, database: Database) -> RunTask:
    """A task of a tenant whose runs end like this, one after the other: completed, failed, final, back."""

    async def run(*ends: str, tenant_id: str | None = "acme", backend: str = "redis", **columns: Any) -> str:
        if not await database.fetchval("SELECT EXISTS (SELECT 1 FROM taskgate.process)"):
            await new_worker()
        task_id = await new_task(tenant_id=tenant_id, backend=backend, **columns)
        for attempt, end in enumerate(ends, start=1):
            assert await transitions.claim(task_id, backend, 1, "w1", with_payload=False)
            if end == "completed":
                assert await transitions.complete(task_id, attempt)
            elif end == "back":
                assert await transitions.hand_back(task_id, attempt)
            else:
                assert await transitions.fail(task_id, attempt, "no", final=end == "final", engine_retries=True)
        return task_id

    return run


@pytest.fixture
def all_outcomes(recorder: Recorder, evidence: Evidence) -> Callable[[], Awaitable[list[Outcome]]]:
    """Count, then read everything."""

    async def read() -> list[Outcome]:
        await recorder.tick()
        page = await evidence.since(0)
        assert page.is_last
        return list(page.outcomes)

    return read
