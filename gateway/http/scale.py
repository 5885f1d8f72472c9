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
    """Tasks of one kind."""

    backlog: int = Field(description="Due and not running")
    oldest_seconds: float = Field(description="How long the oldest of them waits")
    running: int
    on_legacy_workers: int = Field(description="Of the running, those that legacy workers run: they take no slot")
    arrivals_per_second: float
    completions_per_second: float
    run_seconds: float | None = Field(description="Average run; null when nothing completed in the window")
    demand: int = Field(
        description="Backlog and running, without those on legacy workers: slots that would run all of it at once"
    )
    past_gateway: int = Field(description="Beside them: tasks that producers pushed into Redis past the gateway")
    past_gateway_at: datetime | None = Field(description="The youngest time that one of those names")


class TierFigures(LoadFigures):
    """The load of one tier on one backend; backend and pool are null for tasks that are not yet routed."""

    backend: str | None
    pool: str | None
    tier: Tier


class PoolFigures(LoadFigures):
    """One pool; `pool` is null for workers that serve all queues of Temporal, whose load is in A, B and C."""

    pool: str | None
    backend: str
    workers: int
    slots: int


class Scale(BaseModel):
    """Signals of one moment, over all gateways and workers."""

    at: datetime
    window_seconds: float = Field(description="Rates are averages over this time")
    signals: list[TierFigures]
    pools: list[PoolFigures]


@router.get("/gateway/v1/scale", response_model=Scale, responses=problem_errors(403))
async def get_scale(request: Request) -> Response:
    """Backlog, oldest waiting task, running, slots and rates, per pool, tier and backend. For administrators."""
    await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return json_answer(document(await read_signals(gateway_of(request).database)))


@router.get("/metrics", include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """All metrics in Prometheus's text format. For administrators, also while PostgreSQL is away."""
    gateway = gateway_of(request)
    await gateway.scrapers.authenticate(request.headers.get("authorization"))
    await gateway.fleet_metrics.refresh()
    return Response(gateway.telemetry.metrics.render(), media_type=CONTENT_TYPE)
