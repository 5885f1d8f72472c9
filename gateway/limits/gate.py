"""The gate before the engines: due tasks that are paused, or over a running quota, wait here and occupy no worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from gateway.limits.limits import SQL, Limits
from gateway.storage.database import type_Connection

#: First key of the advisory locks for handing out slots.
LOCK_CLASS: Final = 0x7A5C


class Gate:
    """Holds tasks back for a dispatcher, in the transaction that took them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def is_open(self, tenant_id: str | None, project_id: str | None, task_type: str) -> bool:
        """Whether a new task may go to its engine without a count of slots; answered from memory."""
        return not self._limits.gates(tenant_id, project_id, task_type)

    def weight_of(self, tenant_id: str | None) -> float:
        return self._limits.weight_of(tenant_id)

    async def pass_through(self, db: type_Connection, rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
        """Hold those of these due tasks that may not start, and return the others."""
        paused, limited = [], []
        for row in rows:
            if row["state"] != "waiting":
                continue  # a repeated start has passed the gate before
            place = row["tenant_id"], row["project_id"]
            if self._limits.is_paused(*place, row["task_type"]):
                paused.append(row["task_id"])
            elif self._limits.limits_running(*place) and row["dag_run_id"] != row["task_id"]:
                limited.append(row)
        kept = set(paused)
        if paused:
            # Read the present rows: nothing would release a task that was held because of an outdated rule in memory.
            await db.execute(SQL.hold_paused, paused)
        if limited:
            kept |= await self._hold(db, limited)
        return [row for row in rows if row["task_id"] not in kept]

    async def _hold(self, db: type_Connection, rows: Sequence[asyncpg.Record]) -> set[str]:
        """Give the free slots to these tasks, urgent ones first. Returns the ids of those without a slot."""
        tenants = sorted({row["tenant_id"] for row in rows})
        await db.execute(SQL.lock_slots, tenants, LOCK_CLASS)
        taken: dict[tuple[str, str], int] = {}
        for row in await db.fetch(SQL.taken_slots, tenants):
            _add(taken, row["tenant_id"], row["project_id"], row["tasks"])
        admitted: list[str] = []
        held: dict[str, str] = {}
        for row in sorted(rows, key=lambda row: (row["priority"], row["due_at"])):
            reason = self._reason(row, taken)
            if reason is None:
                admitted.append(row["task_id"])
                _add(taken, row["tenant_id"], row["project_id"], 1)
            else:
                held[row["task_id"]] = reason
        if admitted:
            await db.execute(SQL.take_slots, admitted)
        if held:
            await db.execute(SQL.hold_for_slot, list(held), list(held.values()))
        return set(held)

    def _reason(self, row: Any, taken: dict[tuple[str, str], int]) -> str | None:
        for quota in reversed(self._limits.quotas_of(row["tenant_id"], row["project_id"])):
            if quota.running is not None and taken.get((quota.tenant_id, quota.project_id), 0) >= quota.running:
                return "quota:running:project" if quota.project_id else "quota:running"
        return None


def _add(taken: dict[tuple[str, str], int], tenant_id: str, project_id: str | None, tasks: int) -> None:
    for key in {(tenant_id, ""), (tenant_id, project_id or "")}:
        taken[key] = taken.get(key, 0) + tasks
