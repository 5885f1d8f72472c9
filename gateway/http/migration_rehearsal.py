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

Hours = Annotated[int, Query(ge=1, le=LONGEST_HOURS, description="Of the last so many hours, about")]


class RehearsalReason(BaseModel):
    """Why tasks would not be as well on Temporal."""

    code: str
    weight: Weight = Field(description="`problem`, `unknown`, or `warning`: the task would run, something is different")
    meaning: str
    advice: str = Field(description="What a person can do")
    tasks: int
    task_types: list[str]
    last_at: datetime


class Spread(BaseModel):
    """Seconds."""

    tasks: int
    median: float
    p95: float


class Probes(BaseModel):
    """Probes that have ended (stage `shadow`). The spreads are given for one tenant, of its newest good probes."""

    good: int = Field(description="They went as they should")
    rehearsed: int = Field(description="Of these, through the handler's `rehearse`")
    failed: int = Field(description="The tasks would have failed, too, or waited")
    unanswered: int = Field(description="Nothing is known")
    reasons: list[RehearsalReason] = Field(description="Why probes were not good, the gravest first")
    queue: Spread | None = Field(description="The wait for a worker on Temporal")
    redis_queue: Spread | None = Field(description="The wait of the same tasks on Redis")
    decode: Spread | None = Field(description="Until the worker had the payload")
    rehearse: Spread | None = Field(description="The handler's `rehearse`")
    redis_run: Spread | None = Field(description="The runs of the tasks on Redis")


class Rehearsal(BaseModel):
    """What was found about one tenant's tasks."""

    tenant_id: str
    stage: Stage = Field(description="The tenant's in general")
    verdict: RehearsalVerdict
    note: str = Field(description="What the verdict means, and what to do")
    hours: int
    ready: int = Field(description="Tasks that could have started on Temporal")
    not_ready: int = Field(description="Tasks that would have failed there, or waited for nobody")
    unknown: int = Field(description="Tasks of which it could not be found out")
    left_out: int = Field(description="Tasks that were not looked at: there were too many")
    waiting: int = Field(description="Tasks that were not looked at yet")
    behind_seconds: float = Field(description="How long the oldest of these waits")
    last_at: datetime | None
    reasons: list[RehearsalReason] = Field(description="The gravest first")
    probes: Probes


class Rehearsals(BaseModel):
    """Of all tenants who rehearse, or did in this time."""

    rehearsals: list[Rehearsal]


class TaskReason(BaseModel):
    """A reason, and what it says of this task."""

    code: str
    detail: str
    weight: Weight
    meaning: str
    advice: str


class TaskRehearsal(BaseModel):
    """What was found about one task."""

    task_id: str
    task_type: str
    stage: str = Field(description="Under which it was started")
    verdict: RehearsalVerdict
    reasons: list[TaskReason]
    at: datetime


class TaskRehearsals(BaseModel):
    """The newest."""

    tasks: list[TaskRehearsal]


class ProbedTask(BaseModel):
    """A task that ran on Redis, and the probe beside it on Temporal. Seconds; null: unknown, or not over."""

    task_id: str
    tenant_id: str
    task_type: str
    queue: str = Field(description="Where the probe was sent")
    sent_at: datetime
    outcome: str
    detail: str | None
    queue_seconds: float | None = Field(description="Until a worker ran the probe")
    decode_seconds: float | None
    run_seconds: float | None = Field(description="Of the handler's `rehearse`")
    worker_id: str | None
    redis_queue_seconds: float | None = Field(description="Until a worker ran the task")
    redis_run_seconds: float | None = Field(description="Of the task's first run")


class ProbedTasks(BaseModel):
    """The newest first."""

    probes: list[ProbedTask]


@router.get("", response_model=Rehearsals, responses=problem_errors(403, 404))
async def get_rehearsals(
    request: Request,
    tenant_id: Annotated[
        str | None, Query(min_length=1, description="Of this tenant only, whether it rehearses or not")
    ] = None,
    hours: Hours = 24,
) -> Response:
    """Whether the tasks of tenants at `dualwrite` or `shadow` could run on Temporal. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.rehearsals.summaries(tenant_id, hours)
    return json_answer({"rehearsals": [asdict(one) for one in found]})


@router.get("/tasks", response_model=TaskRehearsals, responses=problem_errors(403, 404))
async def get_rehearsed_tasks(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, description="Of this tenant")],
    verdict: Annotated[TaskVerdictName | None, Query(description="With this verdict")] = None,
    reason: Annotated[str | None, Query(max_length=100, description="With this reason, by its code")] = None,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 20,
) -> Response:
    """The newest verdicts about single tasks; a hundred of each kind are kept. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.rehearsals.tasks(tenant_id, verdict=verdict, reason=reason, limit=limit)
    return json_answer({"tasks": [asdict(one) for one in found]})


@router.get("/probes", response_model=ProbedTasks, responses=problem_errors(403, 404))
async def get_probes(
    request: Request,
    tenant_id: Annotated[str, Query(min_length=1, description="Of this tenant")],
    hours: Hours = 24,
) -> Response:
    """The newest probes of a tenant that have ended, 500 at most, each beside its task. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.rehearsals.probes(tenant_id, hours)
    return json_answer({"probes": [asdict(one) for one in found]})
