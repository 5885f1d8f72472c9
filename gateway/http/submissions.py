"""`/gateway/v1/tasks`: a task of any type, and what the gateway knows of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.access.placement import Caller
from gateway.callbacks.callback import Callback
from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.errors import TaskNotFound, UniqueKeyTaken
from gateway.http.acceptance import (
    IDEMPOTENCY_PARAMETER,
    RepeatableRoute,
    accept,
    json_answer,
    read_idempotency,
    replayed,
)
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import gateway_of
from gateway.submission.service import SubmissionService, TaskSubmission
from gateway.submission.unique_keys import as_told
from gateway.tasks.queries.dispatch_view import DispatchView, facts
from gateway.tasks.queries.task_log import STATUS_WORDS

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=RepeatableRoute)


class TaskAccepted(BaseModel):
    """A task that was accepted."""

    task_id: str
    status: Literal["pending", "running"]
    created_at: datetime
    task_url: str = Field(description="Its status, result and stream")


class Attempt(BaseModel):
    """One run of a task's handler."""

    attempt: int
    epoch: int
    backend: str
    worker_id: str
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["completed", "failed", "stopped", "lost"] | None
    error: str | None
    error_type: str | None = Field(description="Name of the exception class")


class RetryPauses(BaseModel):
    """Pauses between runs, in seconds; null: as the gateway's policy says."""

    initial_seconds: float | None
    coefficient: float | None
    maximum_seconds: float | None


class TaskFacts(BaseModel):
    """What the gateway knows of a task."""

    task_id: str
    task_type: str
    status: Literal["pending", "running", "completed", "failed", "cancelled"]
    error: str | None
    group_id: str
    tenant_id: str | None
    project_id: str | None
    user_id: str | None
    parent_task_id: str | None
    state: Literal["waiting", "starting", "queued", "running", "completed", "failed", "stopped"]
    backend: str | None
    stage: str | None = Field(description="Migration stage that chose the backend")
    epoch: int = Field(description="Starts on a backend so far")
    attempt: int = Field(description="Runs of the handler so far")
    failures: int = Field(description="Failed runs since the last retry by hand")
    max_attempts: int
    priority: int
    queue: str | None
    worker_id: str | None
    created_at: datetime
    not_before: datetime | None
    due_at: datetime | None = Field(description="When the gateway looks at it next, while no backend has it")
    queued_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    entity_id: str | None
    entity_type: str | None
    labels: dict[str, str]
    unique_key: str | None
    deadline: datetime | None = Field(description="A task that has not started by then fails")
    retry: RetryPauses | None = Field(description="Pauses that it was submitted with, in seconds")
    callback: Callback | None
    schedule_id: str | None
    dag_run_id: str | None
    held: str | None = Field(description="Why it is held back")
    task_url: str


class TaskDispatch(TaskFacts):
    """Where a task was sent and how its runs ended."""

    waiting_because: str | None = Field(description="Why it does not run yet, for people; null when it runs or is over")
    attempts: list[Attempt]


@router.post(
    "",
    status_code=202,
    response_model=TaskAccepted,
    responses={
        200: {"model": TaskAccepted, "description": "The active task that has the `unique_key` (`on_conflict` return)"},
        **problem_errors(403, 404, 409, 429),
    },
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def submit_task(request: Request, submission: TaskSubmission) -> Response:
    """Submit a task. A type that no worker knows is accepted too; its task fails, and the message names the type."""
    caller, task = await service_of(request).prepare(submission)
    answer = _accepted(task.task_id, "pending", task.created_at)
    try:
        return await accept(request, caller, [task], answer, status=202)
    except UniqueKeyTaken as taken:
        if submission.on_conflict != "return":
            raise as_told(taken, caller) from None
        return await _answer_active(request, caller, taken)


def service_of(request: Request) -> SubmissionService:
    """Where the submissions of this request are turned into tasks."""
    gateway = gateway_of(request)
    view = DispatchView(gateway.database)
    authorization = request.headers.get("authorization")
    return SubmissionService(
        gateway.access, gateway.task_log, view, authorization, gateway.callback_rules, gateway.capabilities
    )


async def _answer_active(request: Request, caller: Caller, taken: UniqueKeyTaken) -> Response:
    """The task that has the key; remembered like the answer to a task that was accepted."""
    gateway = gateway_of(request)
    try:
        task, _ = await DispatchView(gateway.database).get(taken.task_id or "", caller)
    except TaskNotFound:
        raise as_told(taken, caller) from None
    answer = _accepted(task["task_id"], STATUS_WORDS[task["status"]], task["created_at"])
    content = orjson.dumps(answer)
    idempotency = await read_idempotency(request, caller, 200, content)
    if idempotency is not None and (replay := await gateway.intake.remember(idempotency)) is not None:
        return replayed(replay)
    return json_answer(content)


def _accepted(task_id: str, status: str, created_at: datetime) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "status": status,
        "created_at": created_at.isoformat(),
        "task_url": f"/api/v1/tasks/{task_id}",
    }


@router.get("/{task_id}", response_model=TaskDispatch, responses=problem_errors(404))
async def get_task(request: Request, task_id: str) -> Response:
    """Where a task was sent and how its runs ended."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    task, attempts = await DispatchView(gateway.database).get(task_id, caller)
    because = await WaitingReasons(gateway.database, gateway.router, gateway.engines).of(task)
    return json_answer({**facts(task), "waiting_because": because, "attempts": attempts})
