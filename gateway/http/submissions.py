"""`/gateway/v1/tasks`: a task of any type, and what the gateway knows of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, accept, json_answer
from gateway.http.documents import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.status.dispatch_view import DispatchView
from gateway.status.task_log import STATUS_WORDS
from gateway.submission import SubmissionDesk, TaskSubmission

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=KeyedRoute)


class TaskAccepted(BaseModel):
    """A task that was accepted."""

    task_id: str
    status: Literal["pending"]
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


class TaskDispatch(BaseModel):
    """Where a task was sent and how its runs ended."""

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
    task_url: str
    attempts: list[Attempt]


@router.post(
    "",
    status_code=202,
    response_model=TaskAccepted,
    responses=problem_errors(403, 404),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def submit_task(request: Request, submission: TaskSubmission) -> Response:
    """Submit a task. A type that no worker knows is accepted too; its task fails, and the message names the type."""
    gateway = gateway_of(request)
    view = DispatchView(gateway.database)
    desk = SubmissionDesk(gateway.access, gateway.task_log, view, request.headers.get("authorization"))
    caller, task = await desk.prepare(submission)
    answer = {
        "task_id": task.task_id,
        "status": "pending",
        "created_at": task.created_at.isoformat(),
        "task_url": f"/api/v1/tasks/{task.task_id}",
    }
    return await accept(request, caller, [task], answer, status=202)


@router.get("/{task_id}", response_model=TaskDispatch, responses=problem_errors(404))
async def get_task(request: Request, task_id: str) -> Response:
    """Where a task was sent and how its runs ended."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    task, attempts = await DispatchView(gateway.database).get(task_id, caller)
    return json_answer(
        {
            **task,
            "status": STATUS_WORDS[task["status"]],
            "task_url": f"/api/v1/tasks/{task_id}",
            "attempts": attempts,
        }
    )
