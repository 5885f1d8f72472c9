"""Who calls, and where a task belongs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tier(StrEnum):
    """What a tenant pays for; read from `tenants.plan`, everything unknown is standard."""

    ENTERPRISE = "enterprise"
    VIP = "vip"
    STANDARD = "standard"

    @classmethod
    def of_plan(cls, plan: str | None) -> Tier:
        return _TIERS.get((plan or "").strip().lower(), cls.STANDARD)


_TIERS = {tier.value: tier for tier in Tier}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user; `is_admin` is the system administrator of contract §1, who sees every tenant."""

    user_id: str
    key_id: str
    is_admin: bool
    tenant_ids: frozenset[str]

    def sees(self, tenant_id: str | None) -> bool:
        """Rows without a tenant are for administrators only (contract §4)."""
        return self.is_admin or (tenant_id is not None and tenant_id in self.tenant_ids)


@dataclass(frozen=True, slots=True)
class Placement:
    """The tenant (and project) that a task belongs to, resolved by contract §4."""

    tenant_id: str | None
    project_id: str | None
    tier: Tier = Tier.STANDARD
    plan: str | None = None
