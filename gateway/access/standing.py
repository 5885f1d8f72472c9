"""What a caller's roles and key amount to, so that a change of it is seen."""

from __future__ import annotations

from typing import Any


def standing_of(row: Any) -> int:
    """A number for what `access.sql:admit` says of a caller: another one when any of it has changed.

    It means something in this process alone.
    """
    projects = (row["project_ids"] or (), row["project_tenants"] or (), row["project_roles"] or ())
    key = (row["key_permissions"], row["key_scope"], row["key_tenant_id"], row["key_project_id"])
    tenants = zip(row["tenant_ids"], row["tenant_roles"], strict=True)
    # In no order, as the rows of MemStack's tables are.
    return hash((row["is_admin"], frozenset(tenants), frozenset(zip(*projects, strict=True)), key))
