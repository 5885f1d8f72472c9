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
    """A number of tasks. If it depends on the tasks' own keys, it is estimated from a sample.

    The true number then lies between `low` and `high` in 95 of 100 cases. Otherwise all three are the same.
    """

    tasks: int
    low: int
    high: int


class PreviewMoves(BaseModel):
    """Recorded tasks that a step would have moved."""

    to_temporal: PreviewCount = Field(description="Tasks that would have run on Temporal instead of Redis.")
    to_redis: PreviewCount = Field(description="Tasks that would have run on Redis instead of Temporal.")
    restaged: PreviewCount = Field(description="Tasks that would have been at another stage, on the same backend.")


class PreviewOfType(PreviewMoves):
    """What a step would have done to tasks of one type."""

    task_type: str
    recorded: int = Field(description="Recorded tasks of this type of the tenants that the step concerns.")


class PreviewOfTenant(BaseModel):
    """What a step would have done to one tenant."""

    tenant_id: str | None
    tasks: int = Field(description="Number of its tasks that would have moved, or been at another stage.")


class PoolNeed(BaseModel):
    """Slots that a pool of Temporal workers would have needed if no task had waited."""

    pool: str
    slots_now: int = Field(
        description="Slots of the live workers that serve the pool now. Workers that serve other pools, too, are "
        "included."
    )
    tasks: int
    slots: int = Field(description="Slots needed in the busiest minute.")
    busiest_minute: int = Field(description="The busiest minute, counted from `since`.")
    mean_slots: float = Field(description="Slots needed on average.")


class PreviewStep(PreviewMoves):
    """What one change, or one wave of a plan after the waves before it, would have done."""

    title: str
    stage: Stage
    overridden: int = Field(description="Tasks that stay where they are because of an override.")
    by_type: list[PreviewOfType]
    tenants: int = Field(description="Number of tenants whose tasks would have moved, or been at another stage.")
    most: list[PreviewOfTenant] = Field(description="The 20 tenants with the most such tasks.")
    pools: list[PoolNeed] = Field(
        description="Needs of the pools after the step, including tasks that are on Temporal already."
    )


class SimulatedTier(BaseModel):
    """Simulated waiting times of one tier, in seconds."""

    tier: str
    tasks: int
    tenants: int
    mean: float
    p50: float
    p95: float
    p99: float
    fairness: float = Field(description="Jain's fairness index between tenants.")


class PreviewSimulation(BaseModel):
    """A simulation of the tasks that would be on Temporal after the last step: the newest ones, at most 1,000,000."""

    tasks: int
    seconds: float = Field(description="Seconds in which these tasks came and ended.")
    slots: dict[str, int] = Field(
        description="Slots by pool: those of the live workers; of a pool without workers, the needed ones."
    )
    utilisation: dict[str, float] = Field(description="Utilisation by pool, from 0 to 1.")
    tiers: list[SimulatedTier]


class PreviewReason(BaseModel):
    """Why starts on Temporal would have been refused or changed. The codes are those of the rehearsal."""

    code: str
    weight: Weight
    meaning: str
    advice: str
    tasks: int = Field(description="Number of tasks.")
    task_types: list[str]


class PreviewStarts(BaseModel):
    """A check of the starts on Temporal of at most 500 random tasks that would go there."""

    looked_at: int = Field(description="Number of tasks that were checked.")
    ready: int = Field(description="Tasks that could have started.")
    not_ready: int = Field(description="Tasks that would have failed, or that no worker would have taken.")
    unknown: int = Field(description="Tasks for which it could not be determined.")
    reasons: list[PreviewReason]


class PreviewQuota(BaseModel):
    """A present quota that the recorded tasks of a tenant exceed. Only tenants of which tasks would go to Temporal."""

    tenant_id: str
    project_id: str | None = Field(description="Project of the quota. Null: it is the tenant's.")
    quota: Literal["queued", "running", "per_minute", "bytes_per_day"]
    at_most: int = Field(description="The limit.")
    most: int = Field(
        description="The highest value: tasks that waited or ran at the same time, tasks in a minute, or bytes "
        "in a day."
    )
    tasks: int = Field(description="Number of tasks beyond the limit.")
    effect: Literal["refused", "held"] = Field(description="What would have happened to these tasks.")


class Preview(BaseModel):
    """What a change would have done to the tasks that were created in a period of time. Nothing was changed."""

    flag_version: int = Field(description="Version of the flag that the change was compared with.")
    since: datetime
    until: datetime
    hours: int
    tasks: int = Field(description="Number of recorded tasks, without nodes of DAGs.")
    contexts: int = Field(
        description="Number of combinations of tenant, project and task type. The flag was evaluated once for each."
    )
    sampled: int = Field(
        description="Number of tasks for which the flag was evaluated one by one, because it depends on their own keys."
    )
    steps: list[PreviewStep] = Field(description="One step for a change, one for each wave of a plan.")
    pools_before: list[PoolNeed] = Field(description="Needs of the pools with the flag as it is now.")
    simulation: PreviewSimulation | None = Field(description="Null: no task would be on Temporal.")
    by_reference: int = Field(
        description="Number of tasks that would go to Temporal and whose payload is too large to be sent there: "
        "workers read it from PostgreSQL."
    )
    quotas: list[PreviewQuota] = Field(
        description="Quotas that would have refused or held tasks, on any backend; at most 100."
    )
    starts: PreviewStarts = Field(description="Whether tasks could have started on Temporal.")
    notes: list[str] = Field(description="Effects that may be unexpected.")


@router.post("/preview", response_model=Preview, responses=problem_errors(403, 404, 409, 429))
async def preview_stages(request: Request, asked: ProposedChange) -> Response:
    """Return what a change of stages would have done to the tasks of the last hours. Changes nothing. For
    administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.previews.of(asked))


@router.post("/plans/dry-run", response_model=Preview, responses=problem_errors(403, 409, 429), openapi_extra=DOCUMENT)
async def dry_run_plan(
    request: Request,
    hours: Annotated[Hours, Query(description="Use the tasks that were created in the last this many hours.")] = 24,
) -> Response:
    """Return a preview of each wave of a plan (YAML or JSON). A plan with errors is answered 422, with all of them.
    For administrators."""
    gateway = gateway_of(request)
    await gateway.access.authenticate(request.headers.get("authorization"))
    text = await gateway.plans.text(await written_plan(request))
    asked = ProposedChange(document=text, hours=hours)
    return json_answer(await gateway.previews.of(asked))
