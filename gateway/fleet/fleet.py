"""The fleet view: processes with their leases, slots and running tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gateway.audit.acts import Act, record
from gateway.errors import ApiError, NotFound
from gateway.recovery.lease import renewal_seconds
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.fleet", "fleet.sql")

#: Most tasks that are shown of one worker.
MOST_TASKS = 1000

Kind = Literal["worker", "gateway"]
State = Literal["alive", "silent", "ended", "lost"]


class WorkerNotFound(NotFound):
    """There is no such worker, or it is gone for more than a day."""

    code = "worker_not_found"


class WorkerNotDrainable(ApiError):
    """The process reads no mark, or is gone."""

    code = "worker_not_drainable"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the fleet.

    `slots_used`: number of tasks that it runs now. `state`: `silent` if it is late to renew its lease, `lost` if the
    lease has expired, `ended` after an orderly end. `last_seen`: when it last renewed its lease; null after an orderly
    end. `drain_at`: when it was told to take no more tasks and to end.
    """

    process_id: str
    kind: Kind
    pool: str | None
    backend: str | None
    host: str
    pid: int
    version: str
    slots: int
    slots_used: int
    task_types: tuple[str, ...]
    state: State
    started_at: datetime
    last_seen: datetime | None
    lost_at: datetime | None
    drain_at: datetime | None
    drain_by: str | None
    drain_why: str | None


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that a worker runs. `seconds`: time since it was claimed."""

    task_id: str
    task_type: str
    tenant_id: str | None
    project_id: str | None
    attempt: int
    queue: str | None
    started_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class BusyMember(Member):
    """A process, and the tasks that it runs, longest-running first."""

    running: tuple[RunningTask, ...]


class Fleet:
    """Reads the fleet, and marks workers of it. Every method raises `DatabaseUnavailable`; who may ask is for the
    caller to decide.

    A process that has missed two renewals of its lease (`lease_seconds`) is `silent`.
    """

    def __init__(self, database: Database, *, lease_seconds: float) -> None:
        self._db = database
        self._silent_seconds = 2 * renewal_seconds(lease_seconds)

    async def members(
        self,
        *,
        kind: Kind | None = "worker",
        pool: str | None = None,
        backend: str | None = None,
        gone: bool = False,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Member]:
        """The processes; with `gone` also those that ended or were lost within a day."""
        rows = await self._read(None, kind, pool, backend, gone, limit, offset)
        return [Member(**_fields(row)) for row in rows]

    async def member(self, process_id: str) -> BusyMember:
        """One process, also one that is gone. Raises `WorkerNotFound`."""
        found = await self._read(process_id, None, None, None, True, 1, 0)
        if not found:
            raise WorkerNotFound
        tasks = await self._db.fetch(SQL.running, process_id, MOST_TASKS)
        return BusyMember(**_fields(found[0]), running=tuple(RunningTask(**task) for task in tasks))

    async def drain(self, process_id: str, *, by: str, why: str) -> Member:
        """Mark a worker: it reads that with its lease, takes no more tasks, lets running ones end as after SIGTERM, and
        ends. One that is marked already keeps its first mark. Raises `WorkerNotFound`, `WorkerNotDrainable`."""
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.mark_to_drain, process_id, by, why)
            if row is not None:
                await record(db, Act("worker.drain", f"worker:{process_id}", by, why, None, dict(row)))
        found = await self._read(process_id, None, None, None, True, 1, 0)
        if not found:
            if await self._db.fetchval(SQL.is_legacy, process_id):
                raise WorkerNotDrainable(
                    f"{process_id} is a legacy worker, which reads no mark: stop its process where it runs"
                )
            raise WorkerNotFound
        member = Member(**_fields(found[0]))
        if member.drain_at is not None:
            return member
        if member.kind != "worker":
            raise WorkerNotDrainable(f"{process_id} is a gateway: send its process SIGTERM, and it drains")
        raise WorkerNotDrainable(f"{process_id} is gone: there is nothing to drain, see the list of workers")

    async def _read(
        self,
        process_id: str | None,
        kind: str | None,
        pool: str | None,
        backend: str | None,
        gone: bool,
        limit: int,
        offset: int,
    ) -> list[Any]:
        return await self._db.fetch(
            SQL.processes, process_id, kind, pool, backend, self._silent_seconds, gone, limit, offset
        )


def _fields(row: Any) -> dict[str, Any]:
    return {**row, "task_types": tuple(row["task_types"])}
