"""Every change of a task's state, each one statement or one transaction (see `docs/states.md`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import asyncpg

from backends.port import RetryPolicy
from gateway.errors import TaskNotFound, TaskNotRetryable, TaskNotStoppable, UniqueKeyTaken
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.claim import Claim, ClaimStatus, FailureVerdict
from gateway.tasks.payload import decode_payload, encode_json
from gateway.tasks.run_type import BUILT_IN

log = logging.getLogger(__name__)
SQL = Queries("gateway.tasks.lifecycle", "transitions.sql")

#: NOTIFY channels. `changes` feeds streams, `due` wakes dispatchers, `stop` reaches the worker that runs a task.
DUE_CHANNEL = "taskgate_due"
STOP_CHANNEL = "taskgate_stop"


class ChangeNotifier(Protocol):
    """Tells the change feed of every gateway that a task changed (`gateway.tasks.changes.notifier.Notifier`)."""

    def changed(self, task_id: str) -> None: ...


class Transitions:
    """Moves tasks from state to state, and notifies listeners."""

    def __init__(
        self,
        database: Database,
        notifier: ChangeNotifier,
        *,
        retry: RetryPolicy | None = None,
        on_stop: Callable[[], None] = lambda: None,
        fenced: bool = True,
    ) -> None:
        self._db = database
        self._notifier = notifier
        self._retry = retry or RetryPolicy()
        self._on_stop = on_stop
        self._fenced = fenced

    # Workers ------------------------------------------------------------------------------------------------

    async def claim(
        self,
        task_id: str,
        backend: str,
        epoch: int | None,
        worker_id: str,
        *,
        with_payload: bool,
        token: int | None = None,
        again: bool = False,
    ) -> Claim | None:
        """Ask for the right to run a task; None when it is not granted (`claim_status` says why).

        If the answer was lost, ask `again` with the same `token`: the answer is the claim that was granted, if any.
        """
        given = (task_id, backend, epoch, worker_id, with_payload, self._fenced, token)
        row = await self._db.fetchrow(SQL.claim, *given)
        if row is None and again:
            row = await self._db.fetchrow(SQL.claim_again, task_id, worker_id, token, with_payload)
        if row is None:
            return None
        self._notifier.changed(task_id)
        return Claim(
            task_id=task_id,
            attempt=row["attempt"],
            epoch=row["epoch"],
            worker_id=worker_id,
            tenant_id=row["tenant_id"],
            project_id=row["project_id"],
            user_id=row["user_id"],
            group_id=row["group_id"],
            task_type=row["task_type"],
            payload=decode_payload(row["payload"]) if with_payload else None,
            timeout_seconds=row["timeout_seconds"],
        )

    async def claim_status(self, task_id: str, worker_id: str) -> ClaimStatus | None:
        """Why a claim was not granted; None if the gateway does not know the task."""
        row = await self._db.fetchrow(SQL.claim_status, task_id, worker_id)
        return None if row is None else ClaimStatus(**dict(row))

    async def running_on(self, worker_id: str) -> list[tuple[str, int]]:
        """The (task id, attempt) that this worker runs, as far as PostgreSQL knows."""
        return [(row["task_id"], row["attempt"]) for row in await self._db.fetch(SQL.running_on, worker_id)]

    async def progress(
        self,
        task_id: str,
        attempt: int,
        *,
        progress: int | None = None,
        result: Any = None,
        message: str | None = None,
        increment_retry: bool = False,
    ) -> bool:
        """Record what a handler reports; False when the run no longer holds its claim."""
        encoded = None if result is None else encode_json(result)
        text = None if message is None else storable_text(message)
        row = await self._db.fetchrow(SQL.progress, task_id, attempt, progress, encoded, text, increment_retry)
        if row is not None:
            self._notifier.changed(task_id)
        return row is not None

    async def complete(self, task_id: str, attempt: int, result: str | None = None) -> bool:
        """The run succeeded; False when it was fenced off. `result`: JSON, if it is not stored yet."""
        return await self._end(task_id, SQL.complete, task_id, attempt, result)

    async def fail(
        self,
        task_id: str,
        attempt: int,
        error: str,
        *,
        final: bool,
        engine_retries: bool,
        error_type: str | None = None,
        stack: str | None = None,
        delay: timedelta | None = None,
    ) -> FailureVerdict | None:
        """The run failed; None when it was fenced off.

        `final`: do not repeat it. `engine_retries`: the engine itself offers the task again after the pause, which is
        `delay`, or by default the policy's.
        """
        policy = self._retry
        row = await self._db.fetchrow(
            SQL.fail,
            task_id,
            attempt,
            storable_text(error),
            final,
            engine_retries,
            policy.initial.total_seconds(),
            policy.coefficient,
            policy.maximum.total_seconds(),
            error_type and storable_text(error_type),
            stack and storable_text(stack),
            None if delay is None else delay.total_seconds(),
        )
        if row is None:
            return None
        self._notifier.changed(task_id)
        if row["state"] == "failed":
            return FailureVerdict(None)
        if row["state"] == "waiting":
            await self._wake_dispatchers()
        return FailureVerdict(timedelta(seconds=max(row["retry_in"], 0.001)))

    async def hand_back(self, task_id: str, attempt: int) -> bool:
        """Give a claim back unfinished (drain); the engine is to offer the same start again."""
        return await self._end(task_id, SQL.hand_back, task_id, attempt)

    async def still_running(self, attempts: Sequence[tuple[str, int]]) -> set[str]:
        """Which of these (task id, attempt) still hold their claim."""
        rows = await self._db.fetch(SQL.still_running, [t for t, _ in attempts], [a for _, a in attempts])
        return {row["task_id"] for row in rows}

    async def _end(self, task_id: str, query: str, *args: Any) -> bool:
        done = await self._db.fetchrow(query, *args) is not None
        if done:
            self._notifier.changed(task_id)
        return done

    async def _wake_dispatchers(self) -> None:
        await self._db.execute("SELECT pg_notify($1, '')", DUE_CHANNEL)

    async def expire(self, *, task_id: str | None = None, limit: int = 1000) -> int:
        """Fail tasks that no worker began by their deadline, all or only this one. Returns how many there were."""
        rows = await self._db.fetch(SQL.expire, limit, task_id)
        for row in rows:
            self._notifier.changed(row["task_id"])
        if rows:
            self._on_stop()
        return len(rows)

    # Clients ------------------------------------------------------------------------------------------------

    async def stop(self, task_id: str) -> None:
        """Stop a pending or running task (contract §2, T2). Raises `TaskNotFound`, `TaskNotStoppable`.

        From the commit on, no worker of the gateway can claim or report it. A duty tells its engine.
        """
        async with self._db.transaction() as db:
            await self.stop_within(db, task_id)
        self.announce_stop(task_id)

    async def stop_within(self, db: type_Connection, task_id: str) -> None:
        """`stop` in the caller's transaction. The caller calls `announce_stop` after its commit."""
        dispatch, row = await self._lock(db, task_id)
        if row is None:
            raise TaskNotFound
        if row["status"] not in ("PENDING", "PROCESSING"):
            raise TaskNotStoppable
        if dispatch is None:
            tenant, project = await self._legacy_owner(db, task_id)
            await db.execute(
                SQL.stop_foreign, task_id, row["group_id"], row["task_type"], tenant, project, self._retry.attempts
            )
        else:
            await db.execute(SQL.stop_dispatch, task_id)
            await db.execute(SQL.stop_attempt, task_id, dispatch["attempt"])
        await db.execute(SQL.stop_log, task_id)
        await db.execute("SELECT pg_notify($1, $2)", STOP_CHANNEL, task_id)

    def announce_stop(self, task_id: str) -> None:
        """A stop is committed: notify streams, and the engine by its duty."""
        self._notifier.changed(task_id)
        self._on_stop()

    async def retry(self, task_id: str) -> None:
        """Run a failed or stopped task again (contract §2, T1).

        Raises `TaskNotFound`, `TaskNotRetryable`, and `UniqueKeyTaken` when another active task has its unique key. The
        backend is chosen again, by the tenant's present stage. Two retries at once have the effect of one.
        """
        try:
            await self._retry_task(task_id)
        except asyncpg.UniqueViolationError as error:
            rival = await self._db.fetchrow(SQL.rival, task_id)
            if rival is None:  # it ended meanwhile
                return await self.retry(task_id)
            raise UniqueKeyTaken(rival["task_id"], place=(rival["tenant_id"], rival["project_id"])) from error
        self._notifier.changed(task_id)

    async def _retry_task(self, task_id: str) -> None:
        async with self._db.transaction() as db:
            dispatch, row = await self._lock(db, task_id)
            if row is None:
                raise TaskNotFound
            if (row["task_type"] or "").startswith(BUILT_IN):
                if dispatch is None:  # a part of a run that is forgotten
                    raise TaskNotRetryable
                if (run := dispatch["dag_run_id"]) not in (None, task_id):
                    raise TaskNotRetryable(f"This is a node of the DAG run {run}: only that run can be retried")
            if row["status"] not in ("FAILED", "STOPPED"):
                raise TaskNotRetryable
            tenant, project = await self._legacy_owner(db, task_id)
            await db.execute(
                SQL.retry_dispatch, task_id, row["group_id"], row["task_type"], tenant, project, self._retry.attempts
            )
            await db.execute(SQL.retry_log, task_id)
            await db.execute("SELECT pg_notify($1, '')", DUE_CHANNEL)

    async def _lock(self, db: type_Connection, task_id: str) -> tuple[asyncpg.Record | None, asyncpg.Record | None]:
        """Both rows of a task, locked, dispatch first."""
        while True:
            dispatch = await db.fetchrow(SQL.lock_task, task_id)
            if dispatch is not None:
                return dispatch, await db.fetchrow(SQL.lock_log, task_id)
            # A legacy row. Whoever adopts it locks it, too, before the dispatch row is there.
            waiting = db.transaction()
            await waiting.start()
            row = await db.fetchrow(SQL.lock_log, task_id)
            if row is None or not await db.fetchval(SQL.is_known, task_id):
                await waiting.commit()
                return None, row
            await waiting.rollback()  # adopted meanwhile: the lock is given back, and both are taken in their order

    async def _legacy_owner(self, db: Any, task_id: str) -> tuple[str | None, str | None]:
        """Tenant and project of a row that was written before the gateway came; its payload may be any JSON."""
        owner = await db.fetchrow(SQL.owner_of_legacy_row, task_id)
        return owner["tenant_id"], owner["project_id"]


def storable_text(text: str) -> str:
    """The same as text that PostgreSQL can hold."""
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()
