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


class History:
    """Runs that ended some time ago, written straight into the tables and counted."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._tasks = 0

    async def ended(
        self,
        tasks: int,
        *,
        failed: int = 0,
        backend: str = "redis",
        hours_ago: float,
        tenant_id: str = "acme",
        task_type: str = "probe",
        seconds: float = 1.0,
    ) -> None:
        """So many tasks, spread over ten minutes, of which so many needed a second run. Each run took `seconds`."""
        first, self._tasks = self._tasks, self._tasks + tasks
        await self._db.execute(
            """
            WITH given AS (
                SELECT 'h' || n AS task_id, n - $1 < $3 AS fails,
                       now() - make_interval(secs => $4::float8 * 3600 + (n - $1) * 600.0 / $2) AS at
                FROM generate_series($1::int, $1 + $2::int - 1) AS n
            ), task AS (
                INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, backend, attempt,
                                               failures, epoch, created_at)
                SELECT task_id, $5, 'g', $6, 'completed', $7, CASE WHEN fails THEN 2 ELSE 1 END, fails::int, 1,
                       at - make_interval(secs => $8::float8 + 0.5)
                FROM given
            )
            INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, started_at, ended_at, outcome)
            SELECT task_id, attempt, 1, $7, 'w', at - make_interval(secs => $8::float8), at,
                   CASE WHEN fails AND attempt = 1 THEN 'failed' ELSE 'completed' END
            FROM given CROSS JOIN generate_series(1, 2) AS attempt
            WHERE fails OR attempt = 1
            """,
            first,
            tasks,
            failed,
            hours_ago,
            tenant_id,
            task_type,
            backend,
            seconds,
        )
        await Recorder(self._db).tick()

    async def flip(
        self,
        before: str | None,
        after: str | None,
        *,
        hours_ago: float,
        scope: str = "tenant:acme",
        why: str = "",
        undoes: int | None = None,
    ) -> int:
        """An entry of the ledger. Returns its id."""
        entry_id: int = await self._db.fetchval(
            """
            INSERT INTO taskgate.ledger (id, at, kind, source, scope, before, after, who, why, version, evidence,
                                         previous_hash, hash, undoes)
            SELECT COALESCE(max(id), 0) + 1, now() - make_interval(secs => $1::float8 * 3600), 'flip', 'file', $2, $3,
                   $4, 'ada', $5, COALESCE(max(id), 0) + 1, '{}', '', '', $6::bigint
            FROM taskgate.ledger
            RETURNING id
            """,
            hours_ago,
            scope,
            before,
            after,
            why,
            undoes,
        )
        return entry_id


@pytest.fixture
async def history(database: Database) -> History:
    """With tenants acme, globex and initech."""
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u')")
    await database.execute(
        "INSERT INTO tenants (id, name, owner_id) SELECT t, t, 'u' FROM unnest('{acme,globex,initech}'::text[]) AS t"
    )
    return History(database)
