"""What an entry of the ledger is about, as one word: `tenant:acme`, `project:p1,type:backup`, `default`."""

from __future__ import annotations

from urllib.parse import unquote

from gateway.routing.query import Scope


def scope_name(scope: Scope) -> str:
    fields = (("project", scope.project_id), ("tenant", scope.tenant_id), ("type", scope.task_type))
    return ",".join(f"{name}:{_plain(value)}" for name, value in fields if value is not None) or "default"


def scope_of(name: str) -> Scope:
    """The scope that has this name."""
    fields = {kind: unquote(value) for kind, _, value in (part.partition(":") for part in name.split(","))}
    return Scope(fields.get("tenant"), fields.get("project"), fields.get("type"))


def _plain(value: str) -> str:
    """A comma would end the value."""
    return value.replace("%", "%25").replace(",", "%2C")
