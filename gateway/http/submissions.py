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
from gateway.submission.requests import TaskSubmission
from gateway.submission.service import SubmissionService
from gateway.submission.unique_keys import as_told
from gateway.tasks.queries.dispatch_view import DispatchView, facts
from gateway.tasks.queries.task_log import STATUS_WORDS

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=RepeatableRoute)


class TaskAccepted(BaseModel):
    """A task that was accepted. From now on it cannot be lost."""

    task_id: str
    status: Literal["pending", "running"]
    created_at: datetime
    task_url: str = Field(description="Path of the task, where its status and result can be read.")


class Attempt(BaseModel):
    """One run of a task's handler."""

    attempt: int = Field(description="Number of the attempt.")
    epoch: int = Field(description="Number of the start on a backend that the attempt belongs to.")
    backend: str
    worker_id: str
    started_at: datetime
    ended_at: datetime | None
    outcome: Literal["completed", "failed", "stopped", "lost"] | None = Field(
        description="How the attempt ended. `lost`: its worker was lost. Null while it runs."
    )
    error: str | None
    error_type: str | None = Field(description="Name of the exception class.")


class RetryPauses(BaseModel):
    """Pauses between the runs of a task. A null value is taken from the gateway's retry policy."""

    initial_seconds: float | None = Field(description="Pause after the first failure, in seconds.")
    coefficient: float | None = Field(description="Factor by which the pause grows after each further failure.")
    maximum_seconds: float | None = Field(description="Longest pause, in seconds.")


class TaskFacts(BaseModel):
    """A task, with all that the gateway knows of it."""

    task_id: str
    task_type: str
    status: Literal["pending", "running", "completed", "failed", "cancelled"] = Field(
        description="Status as the legacy API shows it. A stopped task has the status `failed`; `state` tells "
        "the two apart."
    )
    error: str | None
    group_id: str
    tenant_id: str | None
    project_id: str | None
    user_id: str | None
    parent_task_id: str | None
    state: Literal["waiting", "starting", "queued", "running", "completed", "failed", "stopped"] = Field(
        description="State in the gateway. `waiting`: not handed to a backend yet. `starting`: being handed "
        "over. `queued`: on a backend, not begun."
    )
    backend: str | None
    stage: str | None = Field(description="Migration stage under which the backend was chosen.")
    epoch: int = Field(description="Number of times the task was started on a backend.")
    attempt: int = Field(description="Number of times a worker began to run the task.")
    failures: int = Field(description="Number of failed runs since the task was submitted or last retried by hand.")
    max_attempts: int = Field(description="Number of failed runs after which the task becomes a dead letter.")
    priority: int = Field(description="Priority from 1 (first) to 5 (last).")
    queue: str | None
    worker_id: str | None = Field(description="Worker that ran the task last.")
    created_at: datetime
    not_before: datetime | None = Field(description="The task does not start before this time.")
    due_at: datetime | None = Field(
        description="When the gateway next tries to start the task. Null unless its state is `waiting` or `starting`."
    )
    queued_at: datetime | None = Field(description="When the task was handed to its backend, or is due there again.")
    claimed_at: datetime | None = Field(description="When a worker last began to run the task.")
    finished_at: datetime | None
    entity_id: str | None
    entity_type: str | None
    labels: dict[str, str]
    unique_key: str | None
    deadline: datetime | None = Field(description="If no worker has begun the task by this time, it fails.")
    retry: RetryPauses | None = Field(
        description="Pauses between runs that were set with the submission. Null: the gateway's retry policy applies."
    )
    callback: Callback | None
    schedule_id: str | None
    dag_run_id: str | None
    held: str | None = Field(
        description="Why the task is held although it may be due, for example `quota:running` or `paused:<pause "
        "id>`. Null: it is not held."
    )
    task_url: str = Field(description="Path of the task in the legacy API.")


class TaskDispatch(TaskFacts):
    """A task, and all its runs."""

    waiting_because: str | None = Field(
        description="Why the task does not run yet, in words. Null if it runs or is over."
    )
    attempts: list[Attempt] = Field(description="Runs of the task, in order.")


@router.post(
    "",
    status_code=202,
    response_model=TaskAccepted,
    responses={
        200: {
            "model": TaskAccepted,
            "description": "No task was created. The response is the active task that has the `unique_key` "
            "(`on_conflict` is `return`)",
        },
        **problem_errors(403, 404, 409, 429),
    },
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def submit_task(request: Request, submission: TaskSubmission) -> Response:
    """Submit a task. An unknown task type is accepted, too: the task then fails, with an error that names the
    type."""
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
    """Return a task: where it was sent, why it waits, and how each of its runs ended."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    task, attempts = await DispatchView(gateway.database).get(task_id, caller)
    because = await WaitingReasons(gateway.database, gateway.router, gateway.engines).of(task)
    return json_answer({**facts(task), "waiting_because": because, "attempts": attempts})
