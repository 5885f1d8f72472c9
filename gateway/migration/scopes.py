"""What an entry of the ledger is about, as one word."""

from __future__ import annotations

from gateway.routing.query import Scope


def scope_name(scope: Scope) -> str:
    """`tenant:acme`, `project:p1,type:backup`, `default`."""
    fields = (("project", scope.project_id), ("tenant", scope.tenant_id), ("type", scope.task_type))
    return ",".join(f"{name}:{value}" for name, value in fields if value is not None) or "default"
