"""Acts for a user without a request, for example for the author of a schedule."""

from __future__ import annotations

from gateway.access.access import Access
from gateway.access.admission import Admission
from gateway.access.placement import Caller, Placement


class OnBehalf:
    """`Access` for one user, with the rights it has at this moment; there is no key."""

    def __init__(self, access: Access, user_id: str) -> None:
        self._access = access
        self._user_id = user_id

    async def admit(self, _: str | None, *, project_id: str | None = None, tenant_id: str | None = None) -> Admission:
        """Raises `Forbidden` when the user is gone or has no access (any more); `DatabaseUnavailable`."""
        return await self._access.admit_user(self._user_id, project_id=project_id, tenant_id=tenant_id)

    async def groups_of(self, admission: Admission, task_type: str, group_id: str) -> list[str] | None:
        """As `Access.groups_of`."""
        return await self._access.groups_of(admission, task_type, group_id)

    async def place(self, caller: Caller, project_id: str | None = None, tenant_id: str | None = None) -> Placement:
        """As `Access.place`."""
        return await self._access.place(caller, project_id, tenant_id)
