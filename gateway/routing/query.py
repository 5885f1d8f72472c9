"""What routing is asked, and the scope that a flag setting or an override is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.access.placement import Tier


@dataclass(frozen=True, slots=True)
class RouteQuery:
    """One task that is due: which backend? An empty `task_id` asks about tasks of this kind in general."""

    tenant_id: str | None
    task_type: str
    task_id: str = ""
    project_id: str | None = None
    plan: str | None = field(kw_only=True)
    """`tenants.plan`. It has no default, because rules of a flag may depend on it: whoever asks looks it up."""

    @property
    def tier(self) -> Tier:
        return Tier.of_plan(self.plan)


@dataclass(frozen=True, slots=True)
class Scope:
    """The tasks that a setting is about; None means any. A scope without any field is the default of all tasks.

    The most specific scope wins: the one with more fields; with equally many, the project counts more than the
    tenant, and the tenant more than the task type.
    """

    tenant_id: str | None = None
    project_id: str | None = None
    task_type: str | None = None

    @property
    def is_default(self) -> bool:
        return self.width == 0

    @property
    def width(self) -> int:
        """How many fields are given."""
        return (self.tenant_id is not None) + (self.project_id is not None) + (self.task_type is not None)

    @property
    def rank(self) -> int:
        """Larger is more specific; scopes that can match the same task never share a rank."""
        return 8 * self.width + sum(
            weight for weight, field in zip((4, 2, 1), self._fields, strict=True) if field is not None
        )

    def covers(self, query: RouteQuery) -> bool:
        return (
            (self.tenant_id is None or self.tenant_id == query.tenant_id)
            and (self.project_id is None or self.project_id == query.project_id)
            and (self.task_type is None or self.task_type == query.task_type)
        )

    def overlaps(self, other: Scope) -> bool:
        """Whether a task may belong to both."""
        return all(a is None or b is None or a == b for a, b in zip(self._fields, other._fields, strict=True))

    def includes(self, other: Scope) -> bool:
        """Whether every task of the other belongs to it."""
        return all(a is None or a == b for a, b in zip(self._fields, other._fields, strict=True))

    @property
    def _fields(self) -> tuple[str | None, ...]:
        return self.project_id, self.tenant_id, self.task_type

    def __str__(self) -> str:
        fields = (("project", self.project_id), ("tenant", self.tenant_id), ("type", self.task_type))
        return ", ".join(f"{name} {value}" for name, value in fields if value is not None) or "default"


def scopes_of(query: RouteQuery) -> Iterator[Scope]:
    """Every scope that covers the task, the most specific first."""
    tenant, project, kind = query.tenant_id, query.project_id, query.task_type
    if project is not None:
        if tenant is not None:
            yield Scope(tenant, project, kind)
            yield Scope(tenant, project, None)
        yield Scope(None, project, kind)
    if tenant is not None:
        yield Scope(tenant, None, kind)
    if project is not None:
        yield Scope(None, project, None)
    if tenant is not None:
        yield Scope(tenant, None, None)
    yield Scope(None, None, kind)
    yield Scope()
