"""What a caller's roles and key amount to, so that it is seen when some of it is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

#: Facts, such as `("tenant", "acme")`: what was true when a stream was opened has to stay true while it is open.
Standing: TypeAlias = frozenset[tuple[Any, ...]]

#: Facts that say which tasks a caller sees. The others say what it may do with them.
_VISIBILITY: Final = frozenset(("admin", "tenant", "key"))


def standing_of(row: Mapping[str, Any]) -> Standing:
    """What `access.sql:admit` says of a caller."""
    facts: list[tuple[Any, ...]] = [
        ("key", row["key_tenant_id"], row["key_project_id"]),
        ("permissions", row["key_permissions"], row["key_scope"]),
    ]
    if row["is_admin"]:
        facts.append(("admin",))
    for tenant, role in zip(row["tenant_ids"], row["tenant_roles"], strict=True):
        facts += (("tenant", tenant), ("role", tenant, role))
    projects = (row["project_ids"] or (), row["project_tenants"] or (), row["project_roles"] or ())
    facts += [("project", *project) for project in zip(*projects, strict=True)]
    return frozenset(facts)


def visibility_of(standing: Standing) -> Standing:
    """The part of it that decides which tasks a caller sees, whatever it may do with them."""
    return frozenset(fact for fact in standing if fact[0] in _VISIBILITY)
