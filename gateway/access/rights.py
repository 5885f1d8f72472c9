"""What a caller may do, by its roles and by the permissions of its key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.access.verbs import KeyScope, Level, Verb
from gateway.errors import Forbidden

_LEVELS = {
    "guest": Level.READER,
    "viewer": Level.READER,
    "member": Level.MEMBER,
    "admin": Level.MANAGER,
    "owner": Level.MANAGER,
}
_NEEDED = {
    Level.MEMBER: "members, administrators and owners",
    Level.MANAGER: "administrators and owners of the tenant or project",
    Level.ADMINISTRATOR: "administrators",
}


@dataclass(frozen=True, slots=True)
class ProjectRole:
    """A role in a project, and the tenant of that project."""

    tenant_id: str | None
    level: Level


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of one user: in tenants, and in those projects where it has one of its own."""

    is_administrator: bool
    tenants: Mapping[str, Level]
    projects: Mapping[str, ProjectRole]

    def level(self, tenant_id: str | None, project_id: str | None) -> Level:
        """The level for a thing of this tenant and project.

        Who manages the tenant manages its projects. Otherwise the role in the project decides, where there is one,
        also when it is the lesser of the two.
        """
        if self.is_administrator:
            return Level.ADMINISTRATOR
        in_tenant = None if tenant_id is None else self.tenants.get(tenant_id)
        in_project = None if project_id is None else self.projects.get(project_id)
        if in_project is not None and in_tenant is not Level.MANAGER:
            return in_project.level
        if in_tenant is None and tenant_id is None:
            return Level.MEMBER  # nobody's but the caller's
        return in_tenant or Level.READER

    def level_over(self, tenant_id: str) -> Level:
        """The level for everything of a tenant: the least that it is for any of its projects."""
        level = self.level(tenant_id, None)
        if level >= Level.MANAGER:
            return level
        return min([level, *(role.level for role in self.projects.values() if role.tenant_id == tenant_id)])

    @property
    def highest(self) -> Level:
        """The highest level of the user anywhere."""
        if self.is_administrator:
            return Level.ADMINISTRATOR
        levels = [*self.tenants.values(), *(role.level for role in self.projects.values())]
        return max(levels, default=Level.MEMBER)


def level_of(role: str | None) -> Level:
    """The level of a role by its name in MemStack's tables; an unknown one may only read."""
    return _LEVELS.get(role or "", Level.READER)


@dataclass(frozen=True, slots=True)
class Rights:
    """Roles applied to the verb of a request.

    `refused`: if given, it is called instead of raising `Forbidden`.
    """

    verb: Verb
    roles: Roles
    refused: Callable[[Verb], None] | None = None

    def check(self, tenant_id: str | None, project_id: str | None) -> None:
        """For one thing, of this tenant and project. Raises `Forbidden`."""
        self._require(self.roles.level(tenant_id, project_id))

    def check_all(self, tenant_ids: frozenset[str], project_id: str | None) -> None:
        """For everything of these tenants, or of one project of theirs. Raises `Forbidden`."""
        if project_id is not None and (role := self.roles.projects.get(project_id)) is not None:
            self.check(role.tenant_id, project_id)
            return
        for tenant_id in sorted(tenant_ids):
            level = self.roles.level(tenant_id, None) if project_id is not None else self.roles.level_over(tenant_id)
            self._require(level, f" everywhere in tenant {tenant_id}; name a tenant or a project")

    def check_anywhere(self) -> bool:
        """Whether the caller's roles allow the verb in at least one place. Raises `Forbidden`."""
        return self._require(self.roles.highest)

    def check_key(self, permissions: frozenset[str], scope: KeyScope | None = None) -> bool:
        """Whether the key permits the verb; no permissions, or no scope, restrict nothing. Raises `Forbidden`."""
        if scope is not None and scope < self.verb.scope:
            return self._refuse(f"This key has scope {scope.name.lower()}; {self.verb.scope.name.lower()} is needed")
        needed = self.verb.permission
        if not permissions or permissions & {needed, "admin"}:
            return True
        return self._refuse(f"This key lacks the permission {needed}")

    def permits(self, permissions: frozenset[str], scope: KeyScope | None) -> bool:
        """Whether the verb may be used anywhere, by the roles and by the key."""
        try:
            return self.check_key(permissions, scope) and self.check_anywhere()
        except Forbidden:
            return False

    def _require(self, level: Level, more: str = "") -> bool:
        return level >= self.verb.level or self._refuse(f"Only {_NEEDED[self.verb.level]} may do this{more}")

    def _refuse(self, why: str) -> bool:
        if self.refused is None:
            raise Forbidden(why)
        self.refused(self.verb)
        return False
