"""Which live workers of Temporal could run a task, as their leases say."""

from __future__ import annotations

import time
from collections.abc import Sequence

import asyncpg

from backends.rehearsal import Objection
from gateway.access.placement import Placement
from gateway.dispatch.unserved import OWN_TYPES
from gateway.dispatch.unserved import SQL as UNSERVED_SQL
from gateway.fleet.pools import pool_of
from gateway.routing.stages import TEMPORAL
from gateway.storage.database import Database

#: What was read is used for so long (seconds).
REMEMBERED_SECONDS = 2.0


class LiveWorkers:
    """Reads PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._workers: Sequence[asyncpg.Record] = ()
        self._until = 0.0

    async def check(self, task_type: str, place: Placement, *, is_workflow: bool) -> list[Objection]:
        """What is missing. Raises `DatabaseUnavailable`. `is_workflow`: it runs as a DAG, which every worker takes."""
        if time.monotonic() >= self._until:
            self._workers = [row for row in await self._db.fetch(UNSERVED_SQL.workers) if row["backend"] == TEMPORAL]
            self._until = time.monotonic() + REMEMBERED_SECONDS
        if not self._workers:
            return [Objection("no_worker")]
        if is_workflow or task_type.startswith(OWN_TYPES):
            return []
        able = [row["pool"] for row in self._workers if task_type in row["task_types"]]
        if not able:
            return [Objection("no_handler", task_type)]
        pool = pool_of(TEMPORAL, place.tier)
        return [] if None in able or pool in able else [Objection("no_pool", f"pool {pool}")]
