"""A caller who was admitted: where its tasks belong."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.groups import MAINTENANCE, SHARED_GROUP
from gateway.access.placement import Caller, Placement
from gateway.errors import Forbidden
from gateway.graph.duplicates import ALL_GROUPS


@dataclass(frozen=True, slots=True)
class Admission:
    """A caller, and the tenant and project of its request.

    `own_group`: the group of its tasks without a project. `project_role` is the caller's role in the named project:
    `owner`, `admin`, `member`, `viewer`; None when it has none of its own there (it may still belong to the project's
    tenant, or be an administrator).
    """

    caller: Caller
    placement: Placement
    project_role: str | None
    own_group: str

    def check_memories(self) -> None:
        """Raises `Forbidden` for a viewer: MemStack has the same rule, so it holds whatever is enforced."""
        if self.project_role == "viewer" and not self.caller.is_admin:
            raise Forbidden("Viewers cannot create memories")

    def group_of(self, task_type: str) -> str:
        """The group of a task when nothing but perhaps a project is named: that of the project, else the tenant's own.

        Maintenance by an administrator without a project works on all groups (`global`).
        """
        if self.placement.project_id is not None:
            return self.placement.project_id
        if task_type not in MAINTENANCE:
            return self.own_group
        if self.own_group == SHARED_GROUP:  # the legacy system's defaults
            return ALL_GROUPS if task_type == "rebuild_communities" else SHARED_GROUP
        return ALL_GROUPS if self.caller.is_admin else self.own_group
