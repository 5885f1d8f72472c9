"""`/gateway/v1/tenants/{id}/quotas`: how much a tenant, or one of its projects, may have."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import InvalidRequest
from gateway.http.acceptance import json_answer
from gateway.http.administrators import require_administrator
from gateway.http.documents import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.tenants import QuotaUse

router = APIRouter(prefix="/gateway/v1/tenants", tags=["tenants"], route_class=KeyedRoute)

Limit = Annotated[int | None, Field(ge=0, le=2**53)]
Project = Annotated[str | None, Query(description="Of this project; left out: of the whole tenant")]
Why = Annotated[str | None, Query(max_length=1000, description="For the audit")]


class NewQuota(BaseModel):
    """Limits; null or left out: none. 0 `running`: nothing starts; 0 elsewhere: nothing is accepted."""

    model_config = ConfigDict(extra="forbid")
    queued: Limit = None
    running: Limit = None
    per_minute: Limit = None
    bytes_per_day: Limit = None
    why: Annotated[str | None, Field(max_length=1000, description="For the audit")] = None


class QuotaList(BaseModel):
    """The tenant's quota first (`project_id` null), then those of its projects."""

    quotas: list[QuotaUse]


@router.get("/{tenant_id}/quotas", response_model=QuotaList, responses=problem_errors(404))
async def list_quotas(request: Request, tenant_id: str) -> Response:
    """The quotas of a tenant and its projects, and what is used of them."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await gateway.tenants.get(tenant_id, caller)
    return json_answer({"quotas": await gateway.quotas.usage(tenant_id)})


@router.put("/{tenant_id}/quotas", response_model=QuotaList, responses=problem_errors(403, 404))
async def set_quota(request: Request, tenant_id: str, quota: NewQuota, project_id: Project = None) -> Response:
    """Replace a quota. One below what is queued or runs already is taken; nothing is dropped. For administrators."""
    gateway = gateway_of(request)
    caller = await require_administrator(request)
    await gateway.tenants.get(tenant_id, caller)
    limits = quota.model_dump(exclude={"why"})
    if all(limit is None for limit in limits.values()):
        raise InvalidRequest("Give at least one limit; DELETE takes a quota away.", field="queued")
    if project_id:
        await gateway.tenants.check_project(project_id, tenant_id)
    await gateway.quotas.set(tenant_id, project_id or "", **limits, by=caller.user_id, why=quota.why)
    return json_answer({"quotas": await gateway.quotas.usage(tenant_id)})


@router.delete("/{tenant_id}/quotas", status_code=204, responses=problem_errors(403, 404))
async def clear_quota(request: Request, tenant_id: str, project_id: Project = None, why: Why = None) -> Response:
    """Take a quota away; what waits for a slot goes on. For administrators."""
    gateway = gateway_of(request)
    caller = await require_administrator(request)
    await gateway.tenants.get(tenant_id, caller)
    await gateway.quotas.clear(tenant_id, project_id or "", by=caller.user_id, why=why)
    return Response(status_code=204)
