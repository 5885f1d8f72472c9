"""The tasks that will leave Redis last, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.dispatch.waiting_reason import WaitingReasons
from gateway.migration.drain.backlog import SQL, Share
from gateway.routing.stages import REDIS
from gateway.storage.database import Database
from gateway.tasks.queries.dispatch_view import SQL as VIEW_SQL

MOST = 10
_SLOWEST = SQL.slowest.replace("/*columns*/", VIEW_SQL.columns)


@dataclass(frozen=True, slots=True)
class RemainingTask:
    """A task that is left; `state` is the gateway's, or `foreign` for a row that others wrote."""

    task_id: str
    task_type: str
    tenant_id: str | None
    state: str
    created_at: datetime
    why: str


class OldestRemaining:
    """Finds them. Raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, reasons: WaitingReasons) -> None:
        self._db = database
        self._reasons = reasons

    async def find(self, shares: Mapping[str | None, Share], tenant_id: str | None) -> list[RemainingTask]:
        """Of these tenants; `tenant_id` None: rows of everybody."""
        tenants = [name or "-" for name in shares]
        here = [name or "-" for name, share in shares.items() if share.waits_here]
        rows, others = await asyncio.gather(
            self._db.fetch(_SLOWEST, tenants, here, MOST), self._db.fetch(SQL.oldest_rows, tenant_id, MOST)
        )
        whys = await asyncio.gather(*(self._why(dict(row)) for row in rows))
        found = [
            RemainingTask(row["task_id"], row["task_type"], row["tenant_id"], row["state"], row["created_at"], why)
            for row, why in zip(rows, whys, strict=True)
        ]
        found += [
            RemainingTask(
                row["task_id"], row["task_type"], row["tenant_id"], "foreign", row["created_at"], _foreign(row)
            )
            for row in others
        ]
        return found[:MOST]

    async def _why(self, task: dict[str, Any]) -> str:
        if task["state"] == "running":
            since = task["claimed_at"] or task["created_at"]
            return f"worker {task['worker_id']} runs it since {since:%Y-%m-%d %H:%M:%SZ}"
        return await self._reasons.of(task) or f"it is about to leave {REDIS}"


def _foreign(row: Any) -> str:
    if row["status"] == "PROCESSING":
        return f"legacy worker {row['worker_id'] or '-'} runs it"
    return "its row was written past the gateway, and no worker has begun it"
