"""Tenants as operators see them: tier, weight, waiting tasks and the reasons."""

from __future__ import annotations

from typing import Any

from gateway.access.placement import Caller, Tier
from gateway.audit.acts import Act, record
from gateway.errors import InvalidRequest, TenantNotFound
from gateway.ingress.foreign import PastGateway, past_gateway
from gateway.storage.database import Database
from gateway.tenants.tiers import SQL

#: Tasks are counted up to this number.
MOST_COUNTED = 100_000


class Tenants:
    """Every method raises `DatabaseUnavailable`; those about one tenant `TenantNotFound`, also for a foreign one."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def page(self, caller: Caller, *, after: str, limit: int) -> list[dict[str, Any]]:
        """The caller's tenants by id; all of them for an administrator."""
        mine = None if caller.is_admin else sorted(caller.tenant_ids)
        return [_shown(row) for row in await self._db.fetch(SQL.list, mine, after, limit)]

    async def get(self, tenant_id: str, caller: Caller) -> dict[str, Any]:
        """One tenant, with its `plan` as MemStack has it."""
        if not caller.sees(tenant_id):
            raise TenantNotFound
        rows = await self._db.fetch(SQL.list, [tenant_id], "", 1)
        if not rows:
            raise TenantNotFound
        return _shown(rows[0])

    async def counts(self, tenant_id: str) -> dict[str, int]:
        """Unfinished tasks by state, each counted to `MOST_COUNTED` at most."""
        return {row["state"]: row["tasks"] for row in await self._db.fetch(SQL.counts, tenant_id, MOST_COUNTED)}

    async def held(self, tenant_id: str) -> dict[str, int]:
        """Waiting tasks that are held, by why."""
        return {row["reason"]: row["tasks"] for row in await self._db.fetch(SQL.held, tenant_id, MOST_COUNTED)}

    async def past_gateway(self, tenant_id: str) -> PastGateway:
        """What its producers pushed past the gateway."""
        return await past_gateway(self._db, [tenant_id])

    async def set_tier(self, tenant_id: str, tier: Tier, *, by: str, why: str | None) -> None:
        """Write the tier into the tenant's plan."""
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.set_tier, tenant_id, tier.value)
            if row is None:
                raise TenantNotFound
            change = {"plan": row["before"]}, {"plan": tier.value}
            await record(db, Act("tenant.tier", f"tenant:{tenant_id}", by, why, *change))

    async def set_weight(self, tenant_id: str, weight: float, *, by: str, why: str | None) -> None:
        """Set its weight; other tenants have 1."""
        async with self._db.transaction() as db:
            row = await db.fetchrow(SQL.set_weight, tenant_id, weight)
            if row is None:
                raise TenantNotFound
            change = {"weight": row["before"]}, {"weight": weight}
            await record(db, Act("tenant.weight", f"tenant:{tenant_id}", by, why, *change))

    async def check_project(self, project_id: str, tenant_id: str | None) -> None:
        """Raises `InvalidRequest` when there is no such project, or it is another tenant's."""
        owner = await self._db.fetchval(SQL.project_tenant, project_id)
        if owner is None or tenant_id not in (None, owner):
            raise InvalidRequest("There is no such project.", field="project_id")


def _shown(row: Any) -> dict[str, Any]:
    return {**dict(row), "tier": Tier.of_plan(row["plan"]).value}
