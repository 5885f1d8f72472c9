"""`/gateway/v1/tenants`: tier, weight, stage, and what waits and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.access.placement import Caller, Tier
from gateway.bootstrap import Gateway
from gateway.errors import InvalidRequest
from gateway.http.acceptance import json_answer
from gateway.http.administrators import require_administrator
from gateway.http.documents import problem_errors
from gateway.http.pauses import PauseView, view
from gateway.http.route import KeyedRoute, gateway_of
from gateway.routing.query import RouteQuery

router = APIRouter(prefix="/gateway/v1/tenants", tags=["tenants"], route_class=KeyedRoute)

TierName = Literal["enterprise", "vip", "standard"]


class QuotaNumbers(BaseModel):
    """`queued`: accepted and not begun; `running`: on an engine; `per_minute`: accepted in the last 60 s;
    `bytes_per_day`: of payloads, since midnight UTC."""

    queued: int | None
    running: int | None
    per_minute: int | None
    bytes_per_day: int | None


class QuotaUse(BaseModel):
    """A quota of the tenant, or of one of its projects, and what is used of it."""

    project_id: str | None
    limits: QuotaNumbers = Field(description="null: no limit")
    used: QuotaNumbers = Field(description="Tasks are counted to 100,000 at most")
    set_by: str
    set_at: datetime
    why: str | None


class TenantView(BaseModel):
    """A tenant. `stage` is where its flag stands for tasks in general."""

    tenant_id: str
    name: str | None
    tier: TierName
    weight: float = Field(description="Its share of a queue beside tenants with weight 1")
    stage: str


class TenantDetail(TenantView):
    """A tenant, what it may do, and what it does."""

    quotas: list[QuotaUse]
    pauses: list[PauseView] = Field(description="Those that hold tasks of this tenant, or may")
    tasks: dict[str, int] = Field(description="Unfinished, by state; each counted to 100,000 at most")
    held: dict[str, int] = Field(description="Waiting tasks that are held, by why")


class TenantPage(BaseModel):
    """Tenants by id; `next` is the `after` of the next page, null on the last."""

    tenants: list[TenantView]
    next: str | None


class TenantChange(BaseModel):
    """What is left out stays."""

    model_config = ConfigDict(extra="forbid")
    tier: TierName | None = None
    weight: Annotated[float | None, Field(ge=0.001, le=1000, allow_inf_nan=False)] = None
    why: Annotated[str | None, Field(max_length=1000, description="For the audit")] = None


@router.get("", response_model=TenantPage, responses=problem_errors())
async def list_tenants(
    request: Request, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """The caller's tenants; all of them for an administrator."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.tenants.page(caller, after=after, limit=limit)
    following = found[-1]["tenant_id"] if len(found) == limit else None
    return json_answer({"tenants": [_view(gateway, tenant) for tenant in found], "next": following})


@router.get("/{tenant_id}", response_model=TenantDetail, responses=problem_errors(404))
async def get_tenant(request: Request, tenant_id: str) -> Response:
    """One tenant, with its quotas and what is used of them, its pauses, and its unfinished tasks."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await _detail(gateway, tenant_id, caller))


@router.put("/{tenant_id}", response_model=TenantDetail, responses=problem_errors(403, 404))
async def change_tenant(request: Request, tenant_id: str, change: TenantChange) -> Response:
    """Change the tier or the weight. Work that waits in Temporal moves to the queues of the new tier; what runs stays.

    For administrators.
    """
    gateway = gateway_of(request)
    caller = await require_administrator(request)
    if change.tier is None and change.weight is None:
        raise InvalidRequest("Give tier or weight.", field="tier")
    if change.tier is not None:
        await gateway.tenants.set_tier(tenant_id, Tier(change.tier), by=caller.user_id, why=change.why)
        gateway.tier_mover.wake()
    if change.weight is not None:
        await gateway.tenants.set_weight(tenant_id, change.weight, by=caller.user_id, why=change.why)
        await gateway.task_limits.refresh()
    return json_answer(await _detail(gateway, tenant_id, caller))


async def _detail(gateway: Gateway, tenant_id: str, caller: Caller) -> dict[str, Any]:
    tenant = await gateway.tenants.get(tenant_id, caller)
    return {
        **_view(gateway, tenant),
        "quotas": await gateway.quotas.usage(tenant_id),
        "pauses": [view(pause) for pause in await gateway.pauses.list() if pause.tenant_id in (None, tenant_id)],
        "tasks": await gateway.tenants.counts(tenant_id),
        "held": await gateway.tenants.held(tenant_id),
    }


def _view(gateway: Gateway, tenant: dict[str, Any]) -> dict[str, Any]:
    route = gateway.router.route(RouteQuery(tenant["tenant_id"], "", tier=Tier(tenant["tier"]), plan=tenant["plan"]))
    shown = {name: tenant[name] for name in ("tenant_id", "name", "tier", "weight")}
    return {**shown, "stage": str(route.stage)}
