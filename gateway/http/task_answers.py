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
    """A task."""

    id: str
    name: str = Field(description="The task's type")
    status: str = Field(description="`Pending`, `Processing`, `Completed`, `Failed` or `Stopped`")
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None
    worker_id: str = Field(description="`-` when no worker has it")
    retries: int
    duration: str = Field(description="`-`, `850ms` under one second, or `1.2s`")
    entity_id: str | None
    entity_type: str | None
    progress: int = Field(description="Percent")
    result: dict[str, Any] | None
    message: str | None


class TaskProgress(BaseModel):
    """The data of a `progress` event."""

    id: str
    status: str = Field(description="`pending`, `processing`, `completed`, `failed` or `stopped`")
    progress: int = Field(description="Percent")
    message: str | None
    result: dict[str, Any] | None
    error: str | None


class StreamError(BaseModel):
    """The data of an `error` event."""

    error: str


class TaskListItem(BaseModel):
    """A task, as the list of all tasks shows it."""

    task_id: str
    task_type: str
    status: str = Field(description="`pending`, `running`, `completed`, `failed` or `cancelled`")
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    progress: int
    message: str | None
    result: dict[str, Any] | None
    error: str | None


class TaskList(BaseModel):
    """Tasks, newest first; `total` is their number in this answer."""

    tasks: list[TaskListItem]
    total: int


class TaskStatsResponse(BaseModel):
    """Counts of tasks."""

    total: int = Field(description="Created in the last 24 h")
    pending: int = Field(description="Waiting now")
    processing: int = Field(description="Running now")
    completed: int = Field(description="Created in the last 24 h, and completed")
    failed: int = Field(description="Failed in the last hour")
    throughput_per_minute: float = Field(description="Completed in the last hour, per minute")
    error_rate: float = Field(description="Percent of the tasks created in the last 24 h that failed")


class QueueDepthResponse(BaseModel):
    """How many tasks were waiting or running at a time."""

    timestamp: str = Field(description="`HH:MM`, UTC")
    depth: int


class StatusBreakdown(BaseModel):
    """Tasks created in the last 24 h, by status."""

    Completed: int
    Processing: int
    Failed: int
    Pending: int


class Message(BaseModel):
    """What was done."""

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
