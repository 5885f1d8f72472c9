"""`/gateway/v1/migration/rehearsal`: whether a tenant's tasks, which run on Redis, could run on Temporal."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.rehearsal.reasons import RehearsalVerdict, Weight
from gateway.migration.rehearsal.report import LARGEST_PAGE, LONGEST_HOURS, TaskVerdictName
from gateway.routing.stages import Stage

router = APIRouter(prefix="/gateway/v1/migration/rehearsal", tags=["migration"], route_class=KeyedRoute)

Hours = Annotated[int, Query(ge=1, le=LONGEST_HOURS, description="Use the results of about the last this many hours.")]


class RehearsalReason(BaseModel):
    """Why tasks would not run as well on Temporal."""

    code: str
    weight: Weight = Field(
        description="`problem`: the task would not run. `unknown`: this could not be determined. `warning`: the "
        "task would run, but something is different."
    )
    meaning: str
    advice: str = Field(description="What a person can do about it.")
    tasks: int = Field(description="Number of tasks with this reason.")
    task_types: list[str]
    last_at: datetime


class Spread(BaseModel):
    """A distribution of durations, in seconds."""

    tasks: int = Field(description="Number of tasks.")
    median: float
    p95: float


class Probes(BaseModel):
    """Probes that have ended (stage `shadow`). The distributions are only given for a single tenant, over its newest
    good probes."""

    good: int = Field(description="Number of probes that succeeded.")
    rehearsed: int = Field(description="Number of these that called the handler's `rehearse`.")
    failed: int = Field(description="Number of probes that failed: the task would have failed, too, or waited.")
    unanswered: int = Field(description="Number of probes without an answer.")
    reasons: list[RehearsalReason] = Field(description="Why probes did not succeed, the gravest reason first.")
    queue: Spread | None = Field(description="Time until a worker on Temporal took the probe.")
    redis_queue: Spread | None = Field(description="Time until a worker took the same tasks on Redis.")
    decode: Spread | None = Field(description="Time that the worker took to read and decode the payload.")
    rehearse: Spread | None = Field(description="Duration of the handler's `rehearse`.")
    redis_run: Spread | None = Field(description="Duration of the runs of the same tasks on Redis.")


class Rehearsal(BaseModel):
    """The results for one tenant."""

    tenant_id: str
    stage: Stage = Field(description="Migration stage of the tenant. Its projects and task types may have others.")
    verdict: RehearsalVerdict
    note: str = Field(description="What the verdict means, and what to do.")
    hours: int
    ready: int = Field(description="Number of tasks that could have started on Temporal.")
    not_ready: int = Field(
        description="Number of tasks that would have failed there, or that no worker would have taken."
    )
    unknown: int = Field(description="Number of tasks for which it could not be determined.")
    left_out: int = Field(description="Number of tasks that were not checked because there were too many.")
    waiting: int = Field(description="Number of tasks that are not checked yet.")
    behind_seconds: float = Field(description="Seconds for which the oldest of these has waited.")
    last_at: datetime | None
    reasons: list[RehearsalReason] = Field(description="Reasons, the gravest first.")
    probes: Probes


class Rehearsals(BaseModel):
    """All tenants that rehearse, or did so in this time."""

    rehearsals: list[Rehearsal]


class TaskReason(BaseModel):
    """A reason, and what it says about this task."""

    code: str
    detail: str
    weight: Weight
    meaning: str
    advice: str


class TaskRehearsal(BaseModel):
    """The result for one task."""

    task_id: str
    task_type: str
    stage: str = Field(description="Migration stage under which the task was started.")
    verdict: RehearsalVerdict
    reasons: list[TaskReason]
    at: datetime


class TaskRehearsals(BaseModel):
    """Results, newest first."""

    tasks: list[TaskRehearsal]


class ProbedTask(BaseModel):
    """A task that ran on Redis, and the probe for it on Temporal. A duration is null if it is unknown or not over."""

    task_id: str
    tenant_id: str
    task_type: str
    queue: str = Field(description="Task queue that the probe was sent to.")
    sent_at: datetime
    outcome: str
    detail: str | None
    queue_seconds: float | None = Field(description="Seconds until a worker took the probe.")
    decode_seconds: float | None = Field(description="Seconds that the worker took to read and decode the payload.")
    run_seconds: float | None = Field(description="Duration of the handler's `rehearse`, in seconds.")
    worker_id: str | None
    redis_queue_seconds: float | None = Field(description="Seconds until a worker took the task.")
    redis_run_seconds: float | None = Field(description="Duration of the task's first run, in seconds.")


class ProbedTasks(BaseModel):
    """Probes, newest first."""

    probes: list[ProbedTask]


@router.get("", response_model=Rehearsals, responses=problem_errors(403, 404))
async def get_rehearsals(
    request: Request,
    tenant_id: Annotated[
        str | None,
        Query(
            min_length=1,
            description="Return only this tenant, whether it rehearses or not. Default: all tenants that rehearse, "
            "or did so in this time.",
        ),
    ] = None,
    hours: Hours = 24,
) -> Response:
    """Return whether the tasks of tenants at `dualwrite` or `shadow` could run on Temporal. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.rehearsals.summaries(tenant_id, hours)
    return json_answer({"rehearsals": [asdict(one) for one in found]})


@router.get("/tasks", response_model=TaskRehearsals, responses=problem_errors(403, 404))
async def get_rehearsed_tasks(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, description="The tenant.")],
    verdict: Annotated[
        TaskVerdictName | None, Query(description="Return only tasks with this verdict. Default: all.")
    ] = None,
    reason: Annotated[
        str | None, Query(max_length=100, description="Return only tasks with the reason of this code. Default: all.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 20,
) -> Response:
    """List the newest results for single tasks. The newest hundred of each kind are kept. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.rehearsals.tasks(tenant_id, verdict=verdict, reason=reason, limit=limit)
    return json_answer({"tasks": [asdict(one) for one in found]})


@router.get("/probes", response_model=ProbedTasks, responses=problem_errors(403, 404))
async def get_probes(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, description="The tenant.")],
    hours: Hours = 24,
) -> Response:
    """List the newest probes of a tenant that have ended, at most 500, each with its task. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.rehearsals.probes(tenant_id, hours)
    return json_answer({"probes": [asdict(one) for one in found]})
