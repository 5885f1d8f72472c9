"""`GET /gateway/v1/scale`: autoscaling signals, and `GET /metrics`: metrics for Prometheus."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.access.placement import Tier
from gateway.fleet.scale_document import document
from gateway.fleet.signals import read_signals
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.observability.exporter import CONTENT_TYPE

router = APIRouter(tags=["workers"], route_class=KeyedRoute)


class LoadFigures(BaseModel):
    """Load of one kind of tasks."""

    backlog: int = Field(description="Number of tasks that are due and do not run.")
    oldest_seconds: float = Field(description="Seconds for which the oldest task of the backlog has waited.")
    running: int = Field(description="Number of tasks that run.")
    on_legacy_workers: int = Field(
        description="Number of the running tasks that legacy workers run. They take no slot."
    )
    arrivals_per_second: float
    completions_per_second: float
    run_seconds: float | None = Field(
        description="Average duration of a run in the window, in seconds. Null if no run completed."
    )
    demand: int = Field(
        description="Number of slots that would run the backlog and the running tasks all at once. Tasks on "
        "legacy workers are not counted."
    )
    past_gateway: int = Field(
        description="Number of tasks that producers pushed into Redis past the gateway. They are not among the "
        "other numbers."
    )
    past_gateway_at: datetime | None = Field(description="Latest time stamp of these tasks.")


class TierFigures(LoadFigures):
    """Load of one tier on one backend. `backend` and `pool` are null for tasks that are not routed yet."""

    backend: str | None
    pool: str | None
    tier: Tier


class PoolFigures(LoadFigures):
    """Load of one pool. `pool` is null for workers that serve all queues of Temporal; their load is counted in A, B
    and C."""

    pool: str | None
    backend: str
    workers: int = Field(description="Number of live workers.")
    slots: int = Field(description="Number of tasks that these workers can run at the same time.")


class Scale(BaseModel):
    """Signals for autoscaling, over all gateways and workers."""

    at: datetime
    window_seconds: float = Field(description="Seconds over which rates are averaged.")
    signals: list[TierFigures] = Field(description="Load by tier and backend.")
    pools: list[PoolFigures]


@router.get("/gateway/v1/scale", response_model=Scale, responses=problem_errors(403))
async def get_scale(request: Request) -> Response:
    """Return the signals for autoscaling: backlog, oldest waiting task, running tasks, slots and rates, by pool,
    tier and backend. For administrators."""
    await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return json_answer(document(await read_signals(gateway_of(request).database)))


@router.get("/metrics", include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """All metrics in Prometheus's text format. For administrators, also while PostgreSQL is away."""
    gateway = gateway_of(request)
    await gateway.scrapers.authenticate(request.headers.get("authorization"))
    await gateway.fleet_metrics.refresh()
    return Response(gateway.telemetry.metrics.render(), media_type=CONTENT_TYPE)
