"""`/gateway/v1/tenants`: tier, weight, stage, and what waits and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.past_gateway import PastGateway
from gateway.http.pauses import PauseView, view
from gateway.http.route import KeyedRoute, gateway_of
from gateway.tenants.service import TenantChange, TierName

router = APIRouter(prefix="/gateway/v1/tenants", tags=["tenants"], route_class=KeyedRoute)


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
    past_gateway: PastGateway = Field(description="Not among the tasks above")


class TenantPage(BaseModel):
    """Tenants by id; `next` is the `after` of the next page, null on the last."""

    tenants: list[TenantView]
    next: str | None


@router.get("", response_model=TenantPage, responses=problem_errors())
async def list_tenants(
    request: Request, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """The caller's tenants; all of them for an administrator."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.tenant_service.page(caller, after=after, limit=limit)
    following = found[-1]["tenant_id"] if len(found) == limit else None
    return json_answer({"tenants": found, "next": following})


@router.get("/{tenant_id}", response_model=TenantDetail, responses=problem_errors(404))
async def get_tenant(request: Request, tenant_id: str) -> Response:
    """One tenant, with its quotas and what is used of them, its pauses, and its unfinished tasks."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(_shown(await gateway.tenant_service.detail(caller, tenant_id)))


@router.put("/{tenant_id}", response_model=TenantDetail, responses=problem_errors(403, 404))
async def change_tenant(request: Request, tenant_id: str, change: TenantChange) -> Response:
    """Change the tier or the weight. Work that waits in Temporal moves to the queues of the new tier; what runs stays.

    For administrators.
    """
    gateway = gateway_of(request)
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return json_answer(_shown(await gateway.tenant_service.change(caller, tenant_id, change)))


def _shown(detail: dict[str, Any]) -> dict[str, Any]:
    return {**detail, "pauses": [view(pause) for pause in detail["pauses"]]}
