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
    """Tasks of one backend; null: of those that have none yet, and those that ended without one."""

    backend: str | None
    waiting: int = Field(description="Due and not begun")
    later: int = Field(description="For a later time")
    held: int = Field(description="Held back by a quota or a pause")
    running: int
    completed: int = Field(description="In the window, as the next two")
    failed: int
    stopped: int
    dead: int = Field(description="Open dead letters")
    new_dead: int = Field(description="Of them, those of the window")
    oldest_seconds: float | None = Field(description="How long the oldest that waits is due; null: none waits")
    begun: int = Field(description="First runs of the window")
    dispatch_p50_seconds: float | None = Field(description="From due to begun, the middle one of them")
    dispatch_p95_seconds: float | None = Field(description="The 95th of a hundred")


class AttentionNeeded(BaseModel):
    """One thing that needs attention. What it is about is not null."""

    kind: Kind
    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    backend: str | None
    plan: str | None
    tasks: int | None
    since: datetime | None
    says: str | None = Field(description="In words, for people")


class OverviewPicture(BaseModel):
    """All of one moment."""

    at: datetime
    window_seconds: float = Field(description="What ended, began and died is that of so many seconds")
    most: int = Field(description="Nobody counts further: a count that is as large may be larger")
    flows: list[TaskFlow]
    concerns: list[AttentionNeeded] = Field(description="The most urgent first; at most 50 of a kind")


@router.get("/gateway/v1/overview", response_model=OverviewPicture, responses=problem_errors(403))
async def get_overview(request: Request) -> Response:
    """Tasks by backend and stage, their waits, and what needs attention: of the caller's tenants, for administrators of
    all, and of engines, workers, guardrails and plans."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(asdict(await gateway.overview.look(caller)))
