"""Who calls, and where a task belongs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

import orjson

from gateway.access.standing import Standing
from gateway.errors import Forbidden

if TYPE_CHECKING:
    from gateway.access.rights import Rights


#: Whose requests repeat each other's: see `Caller.repeats_as`. A type of its own, so that no user id is taken for one.
RepeatsAs = NewType("RepeatsAs", str)


class Tier(StrEnum):
    """What a tenant pays for. Read from `tenants.plan`; an unknown value means `standard`."""

    ENTERPRISE = "enterprise"
    VIP = "vip"
    STANDARD = "standard"

    @classmethod
    def of_plan(cls, plan: str | None) -> Tier:
        return _TIERS.get((plan or "").strip().lower(), cls.STANDARD)


_TIERS = {tier.value: tier for tier in Tier}


@dataclass(frozen=True, slots=True)
class Only:
    """What a key is for: one tenant, or one project of it."""

    tenant_id: str
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user; `is_admin` is the system administrator of contract §1, who sees every tenant.

    `rights` are what it may do with what it asks for; None: already checked, or not enforced.
    `only`: the scope of its key; `belongs_to` is already limited to it. `session_id`: it is signed in with that key.
    `standing`: its roles, and what its key is for (`gateway.access.standing`).
    """

    user_id: str
    key_id: str
    is_admin: bool
    belongs_to: frozenset[str]
    rights: Rights | None = None
    only: Only | None = None
    session_id: str | None = None
    standing: Standing = frozenset()

    @property
    def tenant_ids(self) -> frozenset[str]:
        """Its tenants, to be looked at as a whole. Raises `Forbidden` when its key is for one project."""
        if self._project is not None:
            raise Forbidden(f"This key is for project {self._project} alone; what spans its tenant is not for it")
        return self.belongs_to

    @property
    def repeats_as(self) -> RepeatsAs:
        """Whose requests may repeat this caller's: those of its user, and with a key for one tenant or project those
        with keys for the same one. What only the scope tells apart would otherwise be answered from another tenant."""
        if self.only is None:
            return RepeatsAs(self.user_id)
        # No id of a user has line breaks.
        only = orjson.dumps((self.only.tenant_id, self.only.project_id)).decode()
        return RepeatsAs(f"{self.user_id}\n{only}")

    def sees(self, tenant_id: str | None, project_id: str | None = None) -> bool:
        """Rows without a tenant are for administrators only (contract §4)."""
        if self._project is not None and project_id != self._project:
            return False
        return self.is_admin or (tenant_id is not None and tenant_id in self.belongs_to)

    @property
    def _project(self) -> str | None:
        return None if self.only is None else self.only.project_id

    def check(self, tenant_id: str | None, project_id: str | None = None) -> None:
        """Raises `Forbidden` when its role does not allow what it asks for, on a thing of this tenant and project, or
        its key is for something else."""
        if self.only is not None and (
            tenant_id != self.only.tenant_id or (self._project is not None and project_id != self._project)
        ):
            raise Forbidden(f"This key is for {_words(self.only)} alone")
        if self.rights is not None:
            self.rights.check(tenant_id, project_id)

    def check_all(self, tenant_id: str | None, project_id: str | None) -> None:
        """As `check`, for all that is of this tenant (None: of all of the caller's) or of this project."""
        named = self.tenant_ids if tenant_id is None else self.tenant_ids & {tenant_id}
        if self.rights is not None:
            self.rights.check_all(named, project_id)


def _words(only: Only) -> str:
    return f"tenant {only.tenant_id}" if only.project_id is None else f"project {only.project_id}"


@dataclass(frozen=True, slots=True)
class Placement:
    """The tenant (and project) that a task belongs to, resolved by contract §4."""

    tenant_id: str | None
    project_id: str | None
    plan: str | None
    """`tenants.plan`; None: not known, or not needed, because a dispatcher looks it up before it starts the task."""

    @property
    def tier(self) -> Tier:
        return Tier.of_plan(self.plan)
