"""Which task queue a task goes to."""

from __future__ import annotations

import asyncio
import contextlib

from backends.temporal import names
from gateway.access.placement import Tier
from gateway.errors import DatabaseUnavailable
from gateway.fleet.pools import OWN_QUEUES
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.dispatch", "dispatch.sql")

REFRESH_SECONDS = 2.0


def fairness_key(tenant_id: str | None, tier: Tier) -> str | None:
    """Tenants that share a queue share it fairly."""
    return tenant_id if tier is Tier.STANDARD else None


def effective_priority(priority: int, tier: Tier) -> int:
    """The priority on the engine, 1 is first: VIP tenants go one level ahead."""
    return max(priority - 1, 1) if tier is Tier.VIP else priority


def queue_of(tenant_id: str | None, tier: Tier, task_type: str) -> str:
    """The queue for a task of this tenant, of a type that some worker has a handler for."""
    if tenant_id is not None and tier in OWN_QUEUES:
        return names.tenant_queue(tenant_id, task_type)
    return names.shared_queue(task_type)


class QueueNames:
    """Knows the task types for which workers have handlers. A task of another type goes to a queue where it fails."""

    def __init__(self, database: Database, *, known: frozenset[str]) -> None:
        self._db = database
        self._built_in = known
        self._known = known

    def name(self, tenant_id: str | None, tier: Tier, task_type: str) -> str:
        """The queue for a task of this tenant."""
        if task_type not in self._known:
            return names.UNREGISTERED_QUEUE
        return queue_of(tenant_id, tier, task_type)

    async def learn(self) -> None:
        """Read plug-in types from the workers' leases. Raises `DatabaseUnavailable`."""
        rows = await self._db.fetch(SQL.known_types)
        self._known = self._built_in | {row["task_type"] for row in rows}

    async def run(self) -> None:
        """Read them from time to time, until cancelled."""
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await self.learn()
            await asyncio.sleep(REFRESH_SECONDS)
