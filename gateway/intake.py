"""The one way in: a task is accepted when its row and its dispatch row are committed together (design §3)."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from backends.port import RetryPolicy, WorkflowRef, WorkflowStart
from gateway import faults
from gateway.acceptance import Acceptances
from gateway.access.placement import Placement
from gateway.db import Database, type_Connection
from gateway.errors import IdempotencyMismatch, InvalidRequest
from gateway.sql import Queries

if TYPE_CHECKING:  # workers use intake, and need no flag SDK
    from gateway.routing.flags import FlagEvaluation

SQL = Queries("gateway.status", "transitions.sql")

#: How the text of each payload begins that the gateway writes: white space, which no reader of JSON sees. Indexes of
#: `task_logs` tell the gateway's own rows by it (migration 0004).
MARK = "\t"


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be accepted. `payload` holds its type's keys (contract §5), without the wire's own.

    `unique_key`: of the active tasks of its tenant only one may have it. `retry` None: the gateway's policy.
    `expires_at`: a task that no worker has begun by then fails. `callback`: whom to tell of the end, `{"url": …}`.
    `schedule_id`, `dag_run_id`: the schedule that fired it, the run of a DAG that it is a step of.
    """

    task_type: str
    group_id: str
    payload: dict[str, Any]
    placement: Placement
    user_id: str | None
    entity_id: str | None = None
    entity_type: str | None = None
    parent_task_id: str | None = None
    priority: int = 3
    not_before: datetime | None = None
    labels: Mapping[str, str] | None = None
    unique_key: str | None = None
    retry: RetryPolicy | None = None
    expires_at: datetime | None = None
    callback: Mapping[str, Any] | None = None
    schedule_id: str | None = None
    dag_run_id: str | None = None
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


#: Characters of an idempotency key.
LONGEST_KEY = 255


def check_idempotency_key(key: str) -> None:
    """Raises `InvalidRequest` for a key that is not 1 to 255 printable ASCII characters."""
    if not 1 <= len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        message = f"An idempotency key must be 1 to {LONGEST_KEY} printable ASCII characters."
        raise InvalidRequest(message, field="idempotency_key")


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What is remembered of a request with an `Idempotency-Key`: the answer that its first execution gives.

    `fingerprint` is a digest of method, path and body; `answer` is the JSON text of the response.
    """

    user_id: str
    key: str
    fingerprint: str
    status: int
    answer: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored answer of an earlier request with the same key."""

    status: int
    answer: str


#: Statements that belong into the transaction of an acceptance (e.g. the row in `memories`).
Beside = Callable[[type_Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Launch:
    """How the dispatcher wants a new task recorded: `starting` on a backend at once, or `waiting`.

    `due_at` is when whoever sweeps looks at the row: the repetition of a start nobody confirmed, or the task's time.
    `held` is why nobody is to look at it, whatever its time.
    """

    state: str
    due_at: datetime
    backend: str | None = None
    stage: str | None = None
    queue: str | None = None
    start: WorkflowStart | None = None
    flag: FlagEvaluation | None = None
    """The evaluation that chose the backend, for LaunchDarkly's metrics."""
    repeated: bool = False
    """An earlier try of the same start may have been carried out."""
    held: str | None = None


class Launcher(Protocol):
    """The dispatcher, as intake sees it."""

    @property
    def owner_id(self) -> str: ...

    def plan(self, task: NewTask) -> Launch:
        """Choose the backend if the task is due and its lane is free; no I/O."""

    def launch(self, launch: Launch) -> None:
        """Start a committed task in the background."""

    def wake(self) -> None:
        """Look at waiting tasks soon."""


class Intake:
    """Accepts tasks; from its commit on, a task cannot be lost."""

    def __init__(self, database: Database, launcher: Launcher, *, max_attempts: int, idempotency_hours: float) -> None:
        self._db = database
        self._acceptances = Acceptances(database, SQL.accept)
        self._launcher = launcher
        self._max_attempts = max_attempts
        self._memory_seconds = idempotency_hours * 3600

    async def submit(
        self, tasks: Sequence[NewTask], *, idempotency: Idempotency | None = None, beside: Beside | None = None
    ) -> Replay | None:
        """Accept all tasks, or none. A `Replay` is the answer of an earlier request with the same key.

        Raises `IdempotencyMismatch`, `DatabaseUnavailable`.
        """
        launches = [self._launcher.plan(task) for task in tasks]
        rows = [self._row(task, launch) for task, launch in zip(tasks, launches, strict=True)]
        faults.passing("before_accept")
        if len(rows) == 1 and idempotency is None and beside is None:
            await self._acceptances.add(rows[0])
        else:
            async with self._db.transaction() as db:
                if idempotency is not None and (replay := await self._recall(db, idempotency)) is not None:
                    return replay
                if beside is not None:
                    await beside(db)
                await db.executemany(SQL.accept, rows)
        faults.passing("after_accept")
        waiting = False
        for launch in launches:
            if launch.start is not None:
                self._launcher.launch(launch)
            else:
                waiting = True
        if waiting:
            self._launcher.wake()
        return None

    async def _recall(self, db: type_Connection, key: Idempotency) -> Replay | None:
        fresh = await db.fetchval(
            SQL.remember, key.user_id, key.key, key.fingerprint, key.status, key.answer, self._memory_seconds
        )
        if fresh:
            return None
        known = await db.fetchrow(SQL.recall, key.user_id, key.key)
        if known is None or known["fingerprint"] != key.fingerprint:
            raise IdempotencyMismatch
        return Replay(known["status"], known["answer"])

    def _row(self, task: NewTask, launch: Launch) -> tuple[Any, ...]:
        stored = wire_payload(task)
        return (
            task.task_id,
            task.group_id,
            task.task_type,
            task.created_at,
            MARK + orjson.dumps(stored).decode(),
            task.entity_id,
            task.entity_type,
            task.parent_task_id,
            task.placement.tenant_id,
            task.placement.project_id,
            task.user_id,
            launch.state,
            launch.backend,
            launch.stage,
            1 if launch.state == "starting" else 0,
            task.priority,
            task.not_before,
            launch.due_at,
            self._launcher.owner_id if launch.state == "starting" else None,
            self._max_attempts if task.retry is None else task.retry.attempts,
            launch.queue,
            _json(task.labels),
            task.unique_key,
            *_intervals(task.retry),
            task.expires_at,
            _json(task.callback),
            task.schedule_id,
            task.dag_run_id,
            launch.held,
        )


def _json(value: Mapping[str, Any] | None) -> str | None:
    return orjson.dumps(value).decode() if value else None


def _intervals(retry: RetryPolicy | None) -> tuple[float | None, float | None, float | None]:
    if retry is None:
        return None, None, None
    return retry.initial.total_seconds(), retry.coefficient, retry.maximum.total_seconds()


def wire_payload(task: NewTask) -> dict[str, Any]:
    """What stands in `task_logs.payload`: a complete payload of the wire, which legacy code can run (R2)."""
    return {
        **task.payload,
        "task_type": task.task_type,
        "task_id": task.task_id,
        "timestamp": task.created_at.timestamp(),
    }


def first_ref(task: NewTask) -> WorkflowRef:
    """The first start of a new task."""
    return WorkflowRef(task.task_id, 1, task.group_id, task.task_type)
