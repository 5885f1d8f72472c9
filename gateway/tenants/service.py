"""Reads and changes tenants, their quotas and pauses; the same over HTTP and gRPC."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.access.placement import Caller, Tier
from gateway.errors import InvalidRequest
from gateway.limits.limits import Limits, Pause
from gateway.limits.pauses import Pauses
from gateway.limits.quotas import Quotas
from gateway.limits.requests import NewPause, NewQuota
from gateway.routing.query import RouteQuery
from gateway.routing.router import Router
from gateway.tenants.tenants import Tenants
from gateway.tenants.tiers import TierMover

TierName = Literal["enterprise", "vip", "standard"]

Row = dict[str, Any]


class TenantChange(BaseModel):
    """Changes of a tenant. At least one of `tier` and `weight` is required. Fields that are left out do not change."""

    model_config = ConfigDict(extra="forbid")
    tier: TierName | None = None
    weight: Annotated[
        float | None,
        Field(
            ge=0.001,
            le=1000,
            allow_inf_nan=False,
            description="Share of a shared queue, compared with a tenant of weight 1.",
        ),
    ] = None
    why: Annotated[str | None, Field(max_length=1000, description="Reason, for the audit log.")] = None


class TenantService:
    """Every method raises `DatabaseUnavailable`; those about one tenant `TenantNotFound`, also for a foreign one; those
    that change something expect an administrator."""

    def __init__(
        self, tenants: Tenants, quotas: Quotas, pauses: Pauses, router: Router, limits: Limits, mover: TierMover
    ) -> None:
        self._tenants = tenants
        self._quotas = quotas
        self._pauses = pauses
        self._router = router
        self._limits = limits
        self._mover = mover

    async def page(self, caller: Caller, *, after: str, limit: int) -> list[Row]:
        """The caller's tenants by id; all of them for an administrator."""
        return [self._shown(tenant) for tenant in await self._tenants.page(caller, after=after, limit=limit)]

    async def detail(self, caller: Caller, tenant_id: str) -> Row:
        """One tenant with its limits and their use."""
        tenant = await self._tenants.get(tenant_id, caller)
        return {
            **self._shown(tenant),
            "quotas": await self._quotas.usage(tenant_id),
            "pauses": await self._pauses.of_tenants([tenant_id]),
            "tasks": await self._tenants.counts(tenant_id),
            "held": await self._tenants.held(tenant_id),
            "past_gateway": asdict(await self._tenants.past_gateway(tenant_id)),
        }

    async def change(self, caller: Caller, tenant_id: str, change: TenantChange) -> Row:
        """Change the tier or the weight. Raises `InvalidRequest`."""
        if change.tier is None and change.weight is None:
            raise InvalidRequest("Give tier or weight.", field="tier")
        if change.tier is not None:
            await self._tenants.set_tier(tenant_id, Tier(change.tier), by=caller.user_id, why=change.why)
            self._mover.wake()
        if change.weight is not None:
            await self._tenants.set_weight(tenant_id, change.weight, by=caller.user_id, why=change.why)
            await self._limits.refresh()
        return await self.detail(caller, tenant_id)

    async def quotas(self, caller: Caller, tenant_id: str) -> list[Row]:
        """The quotas of a tenant and its projects, and what is used of them."""
        await self._tenants.get(tenant_id, caller)
        return await self._quotas.usage(tenant_id)

    async def set_quota(self, caller: Caller, tenant_id: str, project_id: str | None, quota: NewQuota) -> list[Row]:
        """Replace a quota; all of the tenant's. Raises `InvalidRequest`."""
        await self._tenants.get(tenant_id, caller)
        limits = quota.model_dump(exclude={"why"})
        if all(limit is None for limit in limits.values()):
            raise InvalidRequest("Give at least one limit; DELETE removes a quota.", field="queued")
        if project_id is not None:
            await self._tenants.check_project(project_id, tenant_id)
        await self._quotas.set(tenant_id, project_id or "", **limits, by=caller.user_id, why=quota.why)
        return await self._quotas.usage(tenant_id)

    async def clear_quota(self, caller: Caller, tenant_id: str, project_id: str | None, *, why: str | None) -> None:
        """Remove the quotas of a tenant or project."""
        await self._tenants.get(tenant_id, caller)
        await self._quotas.clear(tenant_id, project_id or "", by=caller.user_id, why=why)

    async def pauses(self, caller: Caller) -> list[Pause]:
        """Pauses of the caller's tenants, and those of everybody's tasks."""
        return await (self._pauses.list() if caller.is_admin else self._pauses.of_tenants(caller.tenant_ids))

    async def add_pause(self, caller: Caller, pause: NewPause) -> tuple[Pause, bool]:
        """Pause what fits; whether that is new. Raises `InvalidRequest`."""
        if pause.tenant_id is None and pause.project_id is None and pause.task_type is None:
            raise InvalidRequest("Give tenant_id, project_id or task_type.", field="tenant_id")
        if pause.tenant_id is not None:
            await self._tenants.get(pause.tenant_id, caller)
        if pause.project_id is not None:
            await self._tenants.check_project(pause.project_id, pause.tenant_id)
        return await self._pauses.add(
            pause.tenant_id, pause.project_id, pause.task_type, by=caller.user_id, why=pause.why
        )

    def _shown(self, tenant: Row) -> Row:
        query = RouteQuery(tenant["tenant_id"], "", plan=tenant["plan"])
        shown = {name: tenant[name] for name in ("tenant_id", "name", "tier", "weight")}
        return {**shown, "stage": str(self._router.route(query).stage)}
