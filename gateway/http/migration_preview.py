"""`/gateway/v1/migration/preview`: what a change of stages would have done to the tasks of the last hours."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.migration_plans import DOCUMENT, written_plan
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.preview.requests import Hours, ProposedChange
from gateway.migration.rehearsal.reasons import Weight
from gateway.routing.stages import Stage

router = APIRouter(prefix="/gateway/v1/migration", tags=["migration"], route_class=KeyedRoute)


class PreviewCount(BaseModel):
    """A number of tasks. Where a task's own key decides it is estimated from a sample.

    The true number lies between `low` and `high` 95 times of 100; elsewhere all three are the same.
    """

    tasks: int
    low: int
    high: int


class PreviewMoves(BaseModel):
    """Recorded tasks that a step concerns."""

    to_temporal: PreviewCount = Field(description="They would have run there, and not on Redis")
    to_redis: PreviewCount = Field(description="They would have run there, and not on Temporal")
    restaged: PreviewCount = Field(description="At another stage, on the same engine")


class PreviewOfType(PreviewMoves):
    """Of one task type."""

    task_type: str
    recorded: int = Field(description="Tasks of those whom the step concerns")


class PreviewOfTenant(BaseModel):
    """One tenant that would have moved."""

    tenant_id: str | None
    tasks: int


class PoolNeed(BaseModel):
    """What a pool of Temporal's workers would have needed, if no task had waited."""

    pool: str
    slots_now: int = Field(description="Of live workers that serve it, also of those that serve others, too")
    tasks: int
    slots: int = Field(description="In the busiest minute")
    busiest_minute: int = Field(description="From `since` on")
    mean_slots: float


class PreviewStep(PreviewMoves):
    """What one change, or one wave after those before it, would have done."""

    title: str
    stage: Stage
    overridden: int = Field(description="Tasks that stay where an override has them")
    by_type: list[PreviewOfType]
    tenants: int = Field(description="Tenants of whom tasks would have moved, or been at another stage")
    most: list[PreviewOfTenant] = Field(description="The 20 with the most such tasks")
    pools: list[PoolNeed] = Field(description="After the step, with what is on Temporal already")


class SimulatedTier(BaseModel):
    """Waits in seconds. `fairness`: Jain's index between tenants."""

    tier: str
    tasks: int
    tenants: int
    mean: float
    p50: float
    p95: float
    p99: float
    fairness: float


class PreviewSimulation(BaseModel):
    """The newest tasks that would be on Temporal after the last step, at most 1,000,000, with these slots."""

    tasks: int
    seconds: float = Field(description="Over which they came, and ended")
    slots: dict[str, int] = Field(description="By pool: those of live workers; where there are none, the needed ones")
    utilisation: dict[str, float] = Field(description="By pool, from 0 to 1")
    tiers: list[SimulatedTier]


class PreviewReason(BaseModel):
    """Why starts on Temporal would have been refused or changed; the codes are the rehearsal's."""

    code: str
    weight: Weight
    meaning: str
    advice: str
    tasks: int
    task_types: list[str]


class PreviewStarts(BaseModel):
    """Of the tasks that come to Temporal, at most 500 by chance, compiled as their starts would be."""

    looked_at: int
    ready: int
    not_ready: int = Field(description="They would have failed, or waited for nobody")
    unknown: int
    reasons: list[PreviewReason]


class PreviewQuota(BaseModel):
    """A quota of today that the recorded tasks of a tenant exceed, of whom tasks come to Temporal."""

    tenant_id: str
    project_id: str | None = Field(description="Null: of the whole tenant")
    quota: Literal["queued", "running", "per_minute", "bytes_per_day"]
    at_most: int
    most: int = Field(description="The most there were: waiting or running at once, in a minute, or bytes of a day")
    tasks: int = Field(description="Beyond it")
    effect: Literal["refused", "held"] = Field(description="What becomes of them")


class Preview(BaseModel):
    """What a change would have done to the tasks that were created in a time. Nothing was changed."""

    flag_version: int = Field(description="Of the flag that it was compared with")
    since: datetime
    until: datetime
    hours: int
    tasks: int = Field(description="Recorded, without nodes of DAGs")
    contexts: int = Field(description="Combinations of tenant, project and type; the flag was asked about each once")
    sampled: int = Field(description="Tasks that were asked about one by one, because their own key decides")
    steps: list[PreviewStep]
    pools_before: list[PoolNeed] = Field(description="As the flag is now")
    simulation: PreviewSimulation | None = Field(description="Null: nothing would be on Temporal")
    by_reference: int = Field(
        description="Tasks that come to Temporal with payloads too large for it: workers read them"
    )
    quotas: list[PreviewQuota] = Field(
        description="What quotas would have refused or held, on whichever engine; at most 100"
    )
    starts: PreviewStarts
    notes: list[str] = Field(description="What may surprise")


@router.post("/preview", response_model=Preview, responses=problem_errors(403, 404, 409, 429))
async def preview_stages(request: Request, asked: ProposedChange) -> Response:
    """Say what a change of stages would have done to the tasks of the last hours. For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.previews.of(asked))


@router.post("/plans/dry-run", response_model=Preview, responses=problem_errors(403, 409, 429), openapi_extra=DOCUMENT)
async def dry_run_plan(
    request: Request, hours: Annotated[Hours, Query(description="The tasks that came in the last so many hours")] = 24
) -> Response:
    """A preview of each wave of a plan (YAML or JSON); of one with faults, all of them (422). For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    text = await gateway.plans.text(await written_plan(request))
    asked = ProposedChange(document=text, hours=hours)
    return json_answer(await gateway.previews.of(asked))
