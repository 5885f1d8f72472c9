"""`/gateway/v1/tenants/{id}/quotas`: how much a tenant, or one of its projects, may have."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.tenants import QuotaUse
from gateway.limits.requests import NewQuota

router = APIRouter(prefix="/gateway/v1/tenants", tags=["tenants"], route_class=KeyedRoute)

Project = Annotated[
    str | None, Query(min_length=1, description="Project whose quota is meant. Default: the quota of the tenant.")
]
Why = Annotated[str | None, Query(max_length=1000, description="Reason, for the audit log.")]


class QuotaList(BaseModel):
    """Quotas: the tenant's first (`project_id` is null), then those of its projects."""

    quotas: list[QuotaUse]


@router.get("/{tenant_id}/quotas", response_model=QuotaList, responses=problem_errors(404))
async def list_quotas(request: Request, tenant_id: str) -> Response:
    """List the quotas of a tenant and its projects, and how much of them is used."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer({"quotas": await gateway.tenant_service.quotas(caller, tenant_id)})


@router.put("/{tenant_id}/quotas", response_model=QuotaList, responses=problem_errors(403, 404))
async def set_quota(request: Request, tenant_id: str, quota: NewQuota, project_id: Project = None) -> Response:
    """Replace a quota. It may be below the present use: nothing is dropped then. For administrators."""
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return json_answer(
        {"quotas": await gateway_of(request).tenant_service.set_quota(caller, tenant_id, project_id, quota)}
    )


@router.delete("/{tenant_id}/quotas", status_code=204, responses=problem_errors(403, 404))
async def clear_quota(request: Request, tenant_id: str, project_id: Project = None, why: Why = None) -> Response:
    """Remove a quota. Tasks that it holds are started. For administrators."""
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    await gateway_of(request).tenant_service.clear_quota(caller, tenant_id, project_id, why=why)
    return Response(status_code=204)
