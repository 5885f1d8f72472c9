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
    """Numbers for the four quotas."""

    queued: int | None = Field(description="Tasks that are accepted and have not begun.")
    running: int | None = Field(description="Tasks on a backend (`starting`, `queued` or `running`).")
    per_minute: int | None = Field(description="Tasks accepted in the last 60 seconds.")
    bytes_per_day: int | None = Field(description="Bytes of payloads accepted since midnight UTC.")


class QuotaUse(BaseModel):
    """The quota of a tenant or of one of its projects, and how much of it is used."""

    project_id: str | None = Field(description="Project of the quota. Null: it is the tenant's.")
    limits: QuotaNumbers = Field(description="The limits. Null: no limit.")
    used: QuotaNumbers = Field(description="How much is used. Tasks are counted up to 100,000.")
    set_by: str
    set_at: datetime
    why: str | None


class TenantView(BaseModel):
    """A tenant."""

    tenant_id: str
    name: str | None
    tier: TierName
    weight: float = Field(description="Share of a shared queue, compared with a tenant of weight 1.")
    stage: str = Field(description="Migration stage of the tenant. Its projects and task types may have others.")


class TenantDetail(TenantView):
    """A tenant with its quotas, its pauses and its unfinished tasks."""

    quotas: list[QuotaUse]
    pauses: list[PauseView] = Field(description="Pauses that hold, or may hold, tasks of this tenant.")
    tasks: dict[str, int] = Field(description="Number of unfinished tasks, by state. Each is counted up to 100,000.")
    held: dict[str, int] = Field(description="Number of waiting tasks that are held, by reason.")
    past_gateway: PastGateway = Field(
        description="Tasks of the tenant that bypass the gateway. They are not among `tasks`."
    )


class TenantPage(BaseModel):
    """Tenants, ordered by ID. `next` is the `after` of the next page; null on the last page."""

    tenants: list[TenantView]
    next: str | None


@router.get("", response_model=TenantPage, responses=problem_errors())
async def list_tenants(
    request: Request, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """List the caller's tenants. Administrators get all tenants."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    found = await gateway.tenant_service.page(caller, after=after, limit=limit)
    following = found[-1]["tenant_id"] if len(found) == limit else None
    return json_answer({"tenants": found, "next": following})


@router.get("/{tenant_id}", response_model=TenantDetail, responses=problem_errors(404))
async def get_tenant(request: Request, tenant_id: str) -> Response:
    """Return a tenant: its quotas and their use, its pauses, and its unfinished tasks."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(_shown(await gateway.tenant_service.detail(caller, tenant_id)))


@router.put("/{tenant_id}", response_model=TenantDetail, responses=problem_errors(403, 404))
async def change_tenant(request: Request, tenant_id: str, change: TenantChange) -> Response:
    """Change the tier or the weight of a tenant. For administrators.

    Tasks that wait on Temporal move to the queues of the new tier. Running tasks stay where they are.
    """
    gateway = gateway_of(request)
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return json_answer(_shown(await gateway.tenant_service.change(caller, tenant_id, change)))


def _shown(detail: dict[str, Any]) -> dict[str, Any]:
    return {**detail, "pauses": [view(pause) for pause in detail["pauses"]]}
