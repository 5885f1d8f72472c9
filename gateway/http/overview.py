"""`GET /gateway/v1/overview`: how tasks flow, and what needs attention."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.overview.overview import Kind

router = APIRouter(tags=["tasks"], route_class=KeyedRoute)


class TaskFlow(BaseModel):
    """Tasks on one backend. If `backend` is null: tasks that have no backend yet, and tasks that ended without one."""

    backend: str | None
    waiting: int = Field(
        description="Number of tasks that are due and have not begun, including those queued on the backend."
    )
    later: int = Field(description="Number of tasks that become due later.")
    held: int = Field(description="Number of tasks that are held by a quota or a pause.")
    running: int = Field(description="Number of tasks that run.")
    completed: int = Field(description="Number of tasks that completed in the window.")
    failed: int = Field(description="Number of tasks that failed in the window.")
    stopped: int = Field(description="Number of tasks that were stopped in the window.")
    dead: int = Field(description="Number of open dead letters.")
    new_dead: int = Field(description="Number of open dead letters that failed in the window.")
    oldest_seconds: float | None = Field(
        description="Seconds for which the oldest waiting task has been due. Null: no task waits."
    )
    begun: int = Field(description="Number of first runs that began or ended in the window.")
    dispatch_p50_seconds: float | None = Field(description="Seconds from due to begun: median of these runs.")
    dispatch_p95_seconds: float | None = Field(description="Seconds from due to begun: 95th percentile of these runs.")


class AttentionNeeded(BaseModel):
    """A problem that needs attention. Only the fields that it is about are set; the others are null."""

    kind: Kind
    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    backend: str | None
    plan: str | None
    tasks: int | None
    since: datetime | None
    says: str | None = Field(description="The problem in words.")


class OverviewPicture(BaseModel):
    """The state of the system at one moment."""

    at: datetime
    window_seconds: float = Field(description="Length of the window in seconds, up to now.")
    most: int = Field(description="Counting stops at this number: a count that is as large may in fact be larger.")
    flows: list[TaskFlow]
    concerns: list[AttentionNeeded] = Field(description="Problems, the most urgent first; at most 50 of a kind.")


@router.get("/gateway/v1/overview", response_model=OverviewPicture, responses=problem_errors(403))
async def get_overview(request: Request) -> Response:
    """Return the number of tasks by backend and state, their waiting times, and what needs attention.

    Callers see their own tenants. Administrators see all tenants, and problems of backends, workers, guardrails and
    plans.
    """
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(asdict(await gateway.overview.look(caller)))
