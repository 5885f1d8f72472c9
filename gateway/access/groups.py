"""Which groups of the knowledge graph a task works on (contract, quirk G1): a project's, or those of one tenant."""

from __future__ import annotations

import hashlib
import re

from gateway.graph.duplicates import ALL_GROUPS
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.access", "access.sql")

#: The group of episodes without a project in the legacy system, and still with `TASKGATE_SHARED_DEFAULT_GROUP`.
SHARED_GROUP = "neo4j"

#: Types that work on all of a tenant's groups when no project is named.
MAINTENANCE = frozenset(("deduplicate_entities", "incremental_refresh", "rebuild_communities"))

#: graphiti's rule for a group's id.
_RULE = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = frozenset((ALL_GROUPS, SHARED_GROUP))
_HASHED = re.compile(r"(?:tenant|user)-[0-9a-f]{32}")


def own_group(tenant_id: str | None, user_id: str, *, is_taken: bool = False) -> str:
    """A tenant's own group: the tenant's id, or a hash of it if that is not possible.

    `is_taken`: the id is also that of another tenant's project. A user without a tenant has a group by itself.
    """
    if not tenant_id:
        return _hashed("user", user_id)
    if is_taken or not _is_group(tenant_id) or _HASHED.fullmatch(tenant_id):
        return _hashed("tenant", tenant_id)
    return tenant_id


def covers_tenant(task_type: str, group_id: str, project_id: str | None) -> bool:
    """Whether a task in this group, without a group named otherwise, works on every group of its tenant."""
    return task_type in MAINTENANCE and project_id is None and not is_reserved(group_id)


def is_reserved(group_id: str) -> bool:
    """Whether it is no tenant's group: all groups, or the shared one."""
    return group_id in _RESERVED


async def groups_of_tenant(database: Database, tenant_id: str | None, own: str) -> list[str]:
    """A tenant's own group, then those of its projects. Raises `DatabaseUnavailable`."""
    rows = [] if tenant_id is None else await database.fetch(SQL.projects, tenant_id)
    projects = [row["id"] for row in rows if _is_group(row["id"])]
    return list(dict.fromkeys((own, *projects)))


def group_ids(groups: list[str] | None) -> dict[str, list[str]]:
    """The members of a payload that list further groups. Legacy workers do not read them."""
    return {} if groups is None else {"group_ids": groups}


def _is_group(name: str) -> bool:
    return _RULE.fullmatch(name) is not None and not is_reserved(name)


def _hashed(kind: str, name: str) -> str:
    return f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
