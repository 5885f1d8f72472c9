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
    str | None, Query(min_length=1, max_length=200, description="Report on this tenant only. Default: all tenants.")
]


class DrainCounts(BaseModel):
    """Number of tasks that are bound for Redis. Each task is counted once."""

    queued: int = Field(description="In Redis, or about to be handed to it.")
    delayed: int = Field(description="Not due yet.")
    retrying: int = Field(description="Waiting for the next attempt after a failure.")
    running: int = Field(description="Running on workers of the gateway.")
    on_legacy_workers: int = Field(description="Running on legacy workers.")
    held_by_quota: int = Field(description="Held by a quota.")
    held_by_pause: int = Field(description="Held by a pause.")
    past_gateway: int = Field(
        description="Pushed into Redis past the gateway by producers, or written as a row that nobody runs yet."
    )
    set_aside: int = Field(description="Payloads that are not valid tasks, in Redis or among the dead letters.")
    schedules: int = Field(description="Schedules whose next firing would go to Redis.")


class DrainEstimate(BaseModel):
    """Estimated time until nothing is left, in seconds."""

    seconds: float
    low: float = Field(description="Lower end of the interval that contains the true value in 9 of 10 cases.")
    high: float = Field(description="Upper end of that interval.")


class DrainLeft(BaseModel):
    """What is left on Redis of one tenant, or of all."""

    tenant_id: str | None = Field(description="Null: all tenants. In `tenants`, null: tasks without a tenant.")
    stage: str | None = Field(description="Migration stage of the tenant. Its projects and task types may have others.")
    verdict: DrainVerdict
    blocked_by: list[str] = Field(description="What does not end by itself. Each line says what to do.")
    tasks: int = Field(description="Sum of `counts`, without `schedules`.")
    counts: DrainCounts
    past_gateway_at: datetime | None = Field(description="Latest time stamp of the tasks that bypass the gateway.")
    next_firing_at: datetime | None = Field(description="Next firing of a schedule that goes to Redis.")
    rate_in: float = Field(description="Tasks that came per second, averaged over five minutes.")
    rate_out: float = Field(description="Tasks that left per second, averaged over five minutes.")
    eta: DrainEstimate | None = Field(
        description="When the drain will be done. Null: nothing is left, or it cannot be estimated."
    )
    no_eta: str | None = Field(description="Why there is no estimate.")


class SlowTask(BaseModel):
    """A task that is expected to leave Redis late."""

    task_id: str
    task_type: str
    tenant_id: str | None
    state: str = Field(description="State of the task. `foreign`: a row that was not written by the gateway.")
    created_at: datetime
    why: str = Field(description="Why it is late, in words.")


class DrainReport(DrainLeft):
    """The state of a drain at one moment."""

    at: datetime
    missing: list[str] = Field(description="What else is needed before Redis may be switched off. Empty: it may.")
    notes: list[str] = Field(description="Further hints. They do not change the verdict.")
    postgresql: int = Field(description="Number of tasks bound for Redis that have rows in PostgreSQL.")
    redis: int | None = Field(description="Number of payloads in Redis, of all tenants. Null: Redis could not be read.")
    slowest: list[SlowTask] = Field(description="The slowest tasks, at most ten.")
    tenants: list[DrainLeft] = Field(description="In a report on all tenants: the tenants of which something is left.")


@router.get("", response_model=DrainReport, responses=problem_errors(403, 404))
async def get_drain(request: Request, tenant_id: Tenant = None) -> Response:
    """Return what is left on Redis, of one tenant or of all, and whether Redis may be switched off. For administrators.

    PostgreSQL and Redis are read independently. Requests at about the same time share one reading.
    """
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(document(await gateway.drain.report(tenant_id)))


@router.get(
    "/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`drain`: the report, at once and after each change",
            "content": event_stream(drain=DrainReport),
        },
        **problem_errors(403, 404),
    },
)
async def stream_drain(request: Request, tenant_id: Tenant = None) -> Response:
    """Follow a drain as Server-Sent Events. The stream stays open when nothing is left, because new tasks may come.
    For administrators."""
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
