"""Who calls, and where a task belongs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.access.rights import Rights


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
    """An authenticated user; `is_admin` is the system administrator of contract §1, who sees every tenant.

    `rights` are what it may do with what it asks for; None: that was decided before, or is not to be refused.
    """

    user_id: str
    key_id: str
    is_admin: bool
    tenant_ids: frozenset[str]
    rights: Rights | None = None

    def sees(self, tenant_id: str | None) -> bool:
        """Rows without a tenant are for administrators only (contract §4)."""
        return self.is_admin or (tenant_id is not None and tenant_id in self.tenant_ids)

    def check(self, tenant_id: str | None, project_id: str | None = None) -> None:
        """Raises `Forbidden` when its role does not allow what it asks for, on a thing of this tenant and project."""
        if self.rights is not None:
            self.rights.check(tenant_id, project_id)

    def check_all(self, tenant_id: str | None, project_id: str | None) -> None:
        """As `check`, for all that is of this tenant (None: of all of the caller's) or of this project."""
        if self.rights is not None:
            named = self.tenant_ids if tenant_id is None else self.tenant_ids & {tenant_id}
            self.rights.check_all(named, project_id)


@dataclass(frozen=True, slots=True)
class Placement:
    """The tenant (and project) that a task belongs to, resolved by contract §4."""

    tenant_id: str | None
    project_id: str | None
    tier: Tier = Tier.STANDARD
    plan: str | None = None
