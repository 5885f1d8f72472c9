"""Labels of metrics, bounded: what clients can invent never makes time series without end."""

from __future__ import annotations

from collections.abc import Collection, Mapping

#: In place of a task type or tenant that has no series of its own.
OTHER = "other"
#: Task types with series of their own, beside the known ones.
NEW_TYPES = 20
_LONGEST = 100


class Labels:
    """Sets of labels; at most `sets` with names that clients choose, the others are counted as `other`.

    `known`: task types that always keep their name. `tenants`: those with series of their own; empty: no label.
    """

    def __init__(self, known: Collection[str], tenants: Collection[str] = (), *, sets: int) -> None:
        self._types = set(known)
        self._room = len(self._types) + NEW_TYPES
        self._tenants = frozenset(tenants)
        self._limit = sets
        self._sets: dict[tuple[str, ...], Mapping[str, str]] = {}

    def of(self, task_type: str, tenant_id: str | None = None, **fixed: str | None) -> Mapping[str, str]:
        """`fixed`: labels whose values are the gateway's own, and so are few."""
        return self._set(self._type(task_type), self._tenant(tenant_id), fixed)

    def _type(self, name: str) -> str:
        if name not in self._types:
            if len(self._types) >= self._room:
                return OTHER
            self._types.add(name)
        return name

    def _tenant(self, tenant_id: str | None) -> str | None:
        if not self._tenants:
            return None
        return tenant_id if tenant_id in self._tenants else OTHER

    def _set(self, task_type: str, tenant: str | None, fixed: Mapping[str, str | None]) -> Mapping[str, str]:
        key = (task_type, tenant or "", *(value or "" for value in fixed.values()))
        found = self._sets.get(key)
        if found is None:
            rest = OTHER if tenant else None
            if len(self._sets) >= self._limit and (task_type, tenant) != (OTHER, rest):
                return self._set(OTHER, rest, fixed)
            found = {name: value or "" for name, value in fixed.items()}
            found["task_type"] = printable(task_type)
            if tenant:
                found["tenant"] = printable(tenant)
            self._sets[key] = found
        return found


def printable(text: str) -> str:
    """A value that every exporter can write."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()
