"""One row of `task_logs` as readers are shown it (contract §2, §6; reserved rows: ADR 1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg


class Status(StrEnum):
    """What a task's status may be shown as. STOPPED is found in legacy rows: a stop through the API ends in FAILED."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


FINISHED = frozenset((Status.COMPLETED, Status.FAILED, Status.STOPPED))
UNFINISHED = frozenset((Status.PENDING, Status.PROCESSING))


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task. `status` is the shown one, in capitals; `result` is the text of a JSON object, unparsed, or None.

    `tenant_id` and `project_id` are only read where rights are decided (`TaskLog.get`, `TaskLog.read`), and None
    elsewhere.
    """

    id: str
    task_type: str
    status: str
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    worker_id: str | None
    retry_count: int
    progress: int
    result: str | None
    message: str | None
    entity_id: str | None
    entity_type: str | None
    tenant_id: str | None = None
    project_id: str | None = None

    @classmethod
    def of(cls, record: asyncpg.Record) -> TaskRow:
        """From a record of the columns in `task_log.sql`, block `columns`."""
        result = record["result"]
        return cls(
            id=record["id"],
            task_type=record["task_type"] or "",
            status=record["status"],
            created_at=record["created_at"],
            started_at=record["started_at"],
            completed_at=record["completed_at"],
            error_message=record["error_message"],
            worker_id=record["worker_id"],
            retry_count=record["retry_count"] or 0,
            progress=record["progress"] or 0,
            # Only objects are results; a legacy row may hold any JSON.
            result=result if result is not None and result.lstrip()[:1] == "{" else None,
            message=record["message"],
            entity_id=record["entity_id"],
            entity_type=record["entity_type"],
            tenant_id=record.get("tenant_id"),
            project_id=record.get("project_id"),
        )

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED

    @property
    def duration(self) -> str:
        """`-` unless started and completed; `850ms` under one second, else `1.2s`."""
        if self.started_at is None or self.completed_at is None:
            return "-"
        milliseconds = max(0, int((self.completed_at - self.started_at).total_seconds() * 1000))
        return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f}s"
