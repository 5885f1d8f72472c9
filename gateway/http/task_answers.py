"""Tasks as JSON (contract §2, §3): the documented models, and the bytes that are sent.

Answers are written without the models, because a list is thousands of values that are right by construction; a result
is passed on as the text that PostgreSQL holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel, Field

from gateway.tasks.queries.task_log import STATUS_WORDS
from gateway.tasks.queries.task_row import Status, TaskRow

_OPTIONS = orjson.OPT_UTC_Z


class TaskLogResponse(BaseModel):
    """A task, in the format of the legacy API."""

    id: str
    name: str = Field(description="The task type.")
    status: str = Field(
        description="`Pending`, `Processing`, `Completed`, `Failed` or `Stopped`. A task that was stopped "
        "through this API is `Failed`."
    )
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None
    worker_id: str = Field(description="Worker that last ran the task, or `-` if there is none.")
    retries: int
    duration: str = Field(
        description="Time from start to end, as text: `850ms` below one second, else `1.2s`. `-` until the task "
        "has ended."
    )
    entity_id: str | None
    entity_type: str | None
    progress: int = Field(description="Progress in percent.")
    result: dict[str, Any] | None
    message: str | None


class TaskProgress(BaseModel):
    """The data of a `progress` event."""

    id: str
    status: str = Field(description="`pending`, `processing`, `completed`, `failed` or `stopped`.")
    progress: int = Field(description="Progress in percent.")
    message: str | None
    result: dict[str, Any] | None
    error: str | None


class StreamError(BaseModel):
    """The data of an `error` event."""

    error: str


class TaskListItem(BaseModel):
    """A task, in the format of the first task API."""

    task_id: str
    task_type: str
    status: str = Field(description="`pending`, `running`, `completed`, `failed` or `cancelled`.")
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    progress: int = Field(description="Progress in percent.")
    message: str | None
    result: dict[str, Any] | None
    error: str | None


class TaskList(BaseModel):
    """Tasks, newest first."""

    tasks: list[TaskListItem]
    total: int = Field(description="Number of tasks in this response.")


class TaskStatsResponse(BaseModel):
    """Statistics of the tasks that the caller may see."""

    total: int = Field(description="Tasks created in the last 24 hours.")
    pending: int = Field(description="Tasks that are pending now.")
    processing: int = Field(description="Tasks that are running now.")
    completed: int = Field(description="Tasks created in the last 24 hours that have completed.")
    failed: int = Field(description="Tasks that failed in the last hour.")
    throughput_per_minute: float = Field(description="Tasks completed per minute, averaged over the last hour.")
    error_rate: float = Field(description="Share of the tasks created in the last 24 hours that failed, in percent.")


class QueueDepthResponse(BaseModel):
    """Number of unfinished tasks at one point in time."""

    timestamp: str = Field(description="Time of day as `HH:MM`, in UTC.")
    depth: int = Field(description="Number of tasks that were pending or running at this time.")


class StatusBreakdown(BaseModel):
    """Number of tasks created in the last 24 hours, by status."""

    Completed: int
    Processing: int
    Failed: int
    Pending: int


class Message(BaseModel):
    """Confirmation of an action."""

    message: str


def task_log_response(row: TaskRow) -> dict[str, Any]:
    """A `TaskLogResponse`."""
    return {
        "id": row.id,
        "name": row.task_type,
        "status": row.status.capitalize(),
        "created_at": row.created_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "error": row.error_message,
        "worker_id": row.worker_id or "-",
        "retries": row.retry_count,
        "duration": row.duration,
        "entity_id": row.entity_id,
        "entity_type": row.entity_type,
        "progress": row.progress,
        "result": _result(row),
        "message": row.message,
    }


def task_list(rows: Sequence[TaskRow]) -> dict[str, Any]:
    """A `TaskList`."""
    return {"tasks": [_task_list_item(row) for row in rows], "total": len(rows)}


def task_progress(row: TaskRow) -> dict[str, Any]:
    """The data of a `progress` event (contract §3)."""
    return {
        "id": row.id,
        "status": row.status.lower(),
        "progress": row.progress,
        "message": row.message,
        "result": _result(row),
        "error": row.error_message,
    }


def dump(content: Any) -> bytes:
    """JSON in one line."""
    return orjson.dumps(content, option=_OPTIONS)


def json_response(content: Any) -> Response:
    """200 with JSON."""
    return Response(dump(content), media_type="application/json")


def _task_list_item(row: TaskRow) -> dict[str, Any]:
    return {
        "task_id": row.id,
        "task_type": row.task_type,
        "status": STATUS_WORDS[Status(row.status)] if row.status in Status.__members__ else row.status.lower(),
        "created_at": row.created_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
        "progress": row.progress,
        "message": row.message,
        "result": _result(row),
        "error": row.error_message,
    }


def _result(row: TaskRow) -> orjson.Fragment | None:
    """The text as it is stored. Line ends stand only between its tokens, and would break an event stream."""
    if row.result is None:
        return None
    return orjson.Fragment(row.result.replace("\n", " ").replace("\r", " "))
