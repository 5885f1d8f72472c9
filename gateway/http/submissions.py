"""`/gateway/v1/tasks`: a task of any type, and what the gateway knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from gateway.access.access import NO_PROJECT, Admission
from gateway.errors import Forbidden, InvalidRequest
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, accept, json_answer
from gateway.http.documents import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.intake import NewTask
from gateway.status.dispatch_view import DispatchView
from gateway.status.task_log import STATUS_WORDS

router = APIRouter(prefix="/gateway/v1/tasks", tags=["tasks"], route_class=KeyedRoute)

#: The group of a task without a project is its tenant's own.
TENANT_GROUP = "tenant:"

_LONGEST_DELAY = timedelta(days=366)


class TaskSubmission(BaseModel):
    """A task to be run as soon as possible, or later (`delay_seconds` or `run_at`, at most a year ahead).

    `group_id` is the id of a project that the caller may use, or `tenant:<tenant id>`; it defaults to the project, else
    to the tenant. Tasks of one group run one after the other on the Redis queue.
    """

    type: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:-]+$")]
    payload: dict[str, Any] = Field(default_factory=dict)
    project_id: str | None = None
    tenant_id: str | None = None
    group_id: str | None = None
    priority: Annotated[int, Field(ge=1, le=5, description="1 is first")] = 3
    delay_seconds: Annotated[float | None, Field(ge=0, le=_LONGEST_DELAY.total_seconds(), allow_inf_nan=False)] = None
    run_at: AwareDatetime | None = None
    parent_task_id: str | None = None


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
    not_before = _not_before(submission)
    admission, group_id = await _admit(request, submission)
    view = DispatchView(gateway_of(request).database)
    if submission.parent_task_id:
        await gateway_of(request).task_log.get(submission.parent_task_id, admission.caller)
    await _check_payload(submission.payload, admission, group_id, view)
    task = NewTask(
        task_type=submission.type,
        group_id=group_id,
        payload={
            **submission.payload,
            "group_id": group_id,
            "tenant_id": admission.placement.tenant_id,
            "project_id": admission.placement.project_id,
            "user_id": admission.caller.user_id,
            **({"task_group_id": group_id} if submission.type == "rebuild_communities" else {}),
        },
        placement=admission.placement,
        user_id=admission.caller.user_id,
        parent_task_id=submission.parent_task_id or None,
        priority=submission.priority,
        not_before=not_before,
    )
    answer = {
        "task_id": task.task_id,
        "status": "pending",
        "created_at": task.created_at.isoformat(),
        "task_url": f"/api/v1/tasks/{task.task_id}",
    }
    return await accept(request, admission.caller, [task], answer, status=202)


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


def _not_before(submission: TaskSubmission) -> datetime | None:
    """When the task becomes due; None: at once. Raises `InvalidRequest`."""
    if submission.delay_seconds is not None and submission.run_at is not None:
        raise InvalidRequest("Give delay_seconds or run_at, not both.")
    now = datetime.now(UTC)
    if submission.run_at is not None:
        if submission.run_at - now > _LONGEST_DELAY:
            raise InvalidRequest("run_at is more than a year ahead.")
        return submission.run_at if submission.run_at > now else None
    return now + timedelta(seconds=submission.delay_seconds) if submission.delay_seconds else None


async def _admit(request: Request, submission: TaskSubmission) -> tuple[Admission, str]:
    """The caller, where the task belongs, and its group. Raises `Forbidden` for a group that is not the caller's."""
    access = gateway_of(request).access
    project_id, tenant_id, group_id = submission.project_id or None, submission.tenant_id or None, submission.group_id
    names_project = bool(group_id) and not (group_id or "").startswith(TENANT_GROUP)
    if names_project:
        # A group that names a project is checked as one; beside another project it has to be of the same tenant.
        admission = await access.admit(request.headers.get("authorization"), project_id=group_id, tenant_id=tenant_id)
        if project_id is not None and project_id != group_id:
            placement = await access.place(admission.caller, project_id, tenant_id)
            if placement.tenant_id != admission.placement.tenant_id:
                raise Forbidden("group_id belongs to another tenant than project_id")
            admission = Admission(admission.caller, placement, None)
        return admission, group_id or ""
    if group_id and project_id is None and tenant_id is None:
        tenant_id = group_id.removeprefix(TENANT_GROUP)
    admission = await access.admit(request.headers.get("authorization"), project_id=project_id, tenant_id=tenant_id)
    own_group = f"{TENANT_GROUP}{admission.placement.tenant_id or ''}"
    if group_id and group_id != own_group:
        raise Forbidden("You do not have access to this group")
    return admission, group_id or project_id or own_group


async def _check_payload(payload: Mapping[str, Any], admission: Admission, group_id: str, view: DispatchView) -> None:
    """Handlers act on what the payload names, so it may name nothing that the caller was not admitted to."""
    placement = admission.placement
    expected = {
        "group_id": group_id,
        "task_group_id": group_id,
        "project_id": placement.project_id,
        "tenant_id": placement.tenant_id,
        "user_id": admission.caller.user_id,
    }
    for name, value in expected.items():
        if payload.get(name) not in (None, value):
            raise Forbidden(f"payload.{name} is not where this task belongs")
    if (memory_id := payload.get("memory_id")) is not None:
        known = await view.project_of_memory(memory_id) if isinstance(memory_id, str) else None
        if known is None or known != placement.project_id:
            raise Forbidden(NO_PROJECT)
