"""`/gateway/v1/migration/drain`: what is left for Redis, when it will be gone, and whether Redis may go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from gateway.errors import ShuttingDown
from gateway.http.acceptance import json_answer
from gateway.http.events import EventStream, event, keepalive
from gateway.http.openapi_errors import event_stream, problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.drain.documents import document
from gateway.migration.drain.report import Report
from gateway.migration.drain.verdict import DrainVerdict

router = APIRouter(prefix="/gateway/v1/migration/drain", tags=["migration"], route_class=KeyedRoute)

Tenant = Annotated[
    str | None, Query(min_length=1, max_length=200, description="Of this tenant; left out: of everybody")
]


class DrainCounts(BaseModel):
    """Tasks that are bound for Redis, each in one place."""

    queued: int = Field(description="Redis has them, or they are about to go there")
    delayed: int
    retrying: int
    running: int = Field(description="On workers of the gateway's own")
    on_legacy_workers: int
    held_by_quota: int
    held_by_pause: int
    past_gateway: int = Field(description="Producers pushed them past the gateway, or wrote a row that nobody runs yet")
    set_aside: int = Field(description="Payloads that are no task, in Redis or among the dead letters")
    schedules: int = Field(description="Schedules whose next firing would go to Redis")


class DrainEstimate(BaseModel):
    """Seconds until nothing is left, and an interval that holds nine ends of ten."""

    seconds: float
    low: float
    high: float


class DrainLeft(BaseModel):
    """What is left of one tenant, or of everybody."""

    tenant_id: str | None = Field(description="null: everybody; in a list of tenants: nobody's")
    stage: str | None = Field(description="Where the tenant stands in general")
    verdict: DrainVerdict
    blocked_by: list[str] = Field(description="What does not end by itself, each as a line that says what to do")
    tasks: int = Field(description="All of the counts but schedules")
    counts: DrainCounts
    past_gateway_at: datetime | None = Field(description="The youngest time that a task past the gateway names")
    next_firing_at: datetime | None = Field(description="Of a schedule that fires to Redis")
    rate_in: float = Field(description="Tasks a second, average of five minutes")
    rate_out: float = Field(description="Tasks a second, average of five minutes")
    eta: DrainEstimate | None = Field(description="null: nothing is left, or nobody knows")
    no_eta: str | None = Field(description="Why nobody knows")


class SlowTask(BaseModel):
    """A task that will leave Redis late."""

    task_id: str
    task_type: str
    tenant_id: str | None
    state: str = Field(description="`foreign`: a row that others wrote")
    created_at: datetime
    why: str


class DrainReport(DrainLeft):
    """A drain at one moment."""

    at: datetime
    missing: list[str] = Field(description="What else is needed before Redis may go; empty: it may")
    notes: list[str] = Field(description="What else people should know; no reason for a verdict")
    postgresql: int = Field(description="Tasks bound for Redis of which PostgreSQL has rows")
    redis: int | None = Field(description="Payloads that Redis holds, of everybody; null: it could not be read")
    slowest: list[SlowTask] = Field(description="Ten at most")
    tenants: list[DrainLeft] = Field(description="Of everybody: those of whom something is left")


@router.get("", response_model=DrainReport, responses=problem_errors(403, 404))
async def get_drain(request: Request, tenant_id: Tenant = None) -> Response:
    """What is left for Redis, of a tenant or of everybody, and the verdict. For administrators.

    PostgreSQL and Redis are read for themselves; a reading serves whoever asks for a moment.
    """
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(document(await gateway.drain.report(tenant_id)))


@router.get(
    "/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {"description": "`drain`, at once and after each change", "content": event_stream(drain=DrainReport)},
        **problem_errors(403, 404),
    },
)
async def stream_drain(request: Request, tenant_id: Tenant = None) -> Response:
    """Follow a drain. It goes on when nothing is left: something may come again. For administrators."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await gateway.drain.report(tenant_id)  # errors are answered as such
    subscription = gateway.drain_watch.subscribe(tenant_id).open()
    if subscription.is_closed:
        raise ShuttingDown(retry_after=1)
    reports = gateway.drain_watch.follow(subscription, quiet=gateway.settings.stream_keepalive_seconds)
    return EventStream(gateway, _events(reports), subscription, caller)


async def _events(reports: AsyncIterator[Report | None]) -> AsyncIterator[ServerSentEvent]:
    async for report in reports:
        yield keepalive() if report is None else event("drain", document(report))
