"""Tasks that wait on a backend where no live worker takes their type: what `task show` says of one, for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from backends.temporal.names import UNREGISTERED_QUEUE
from gateway.access.placement import Tier
from gateway.fleet.pools import POOL_OF_TIER, pool_of
from gateway.routing.stages import REDIS
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.dispatch", "unserved.sql")

#: Prefix of types that every worker of the backend takes: runs of DAGs, and nodes that wait for people.
OWN_TYPES = "taskgate."
#: Legacy workers hold no lease. A task that is on Redis for so long (seconds) is one that they do not take either.
LEGACY_SECONDS = 60.0


async def unserved(database: Database) -> Counter[tuple[str, str]]:
    """How many such tasks there are, by type and backend. Raises `DatabaseUnavailable`."""
    workers = await database.fetch(SQL.workers)
    found: Counter[tuple[str, str]] = Counter()
    for row in await database.fetch(SQL.queued, UNREGISTERED_QUEUE):
        if not _is_served(row, workers):
            found[row["task_type"], row["backend"]] += row["tasks"]
    if on_redis := [task_type for task_type, backend in found if backend == REDIS]:
        left = {
            row["task_type"]: row["tasks"] for row in await database.fetch(SQL.left_by_legacy, on_redis, LEGACY_SECONDS)
        }
        for task_type in on_redis:
            found[task_type, REDIS] = left.get(task_type, 0)
    return +found


def lines(found: Counter[tuple[str, str]]) -> list[str]:
    """One line per type and backend, the most tasks first."""
    return [
        f"{no_worker(task_type, backend)}: {tasks} task{'' if tasks == 1 else 's'}"
        for (task_type, backend), tasks in found.most_common()
    ]


def no_worker(task_type: str, backend: str) -> str:
    """That nobody runs it."""
    legacy = " (legacy workers are not seen)" if backend == REDIS else ""
    return f"no live worker serves `{task_type}` on {backend}{legacy}"


def _is_served(row: Any, workers: Sequence[Any]) -> bool:
    pool = POOL_OF_TIER[Tier.STANDARD] if row["is_unknown"] else pool_of(row["backend"], Tier.of_plan(row["plan"]))
    by_all = row["is_unknown"] or row["task_type"].startswith(OWN_TYPES)
    return any(
        worker["backend"] == row["backend"]
        and (by_all or row["task_type"] in worker["task_types"])
        and (worker["pool"] in (None, pool) or row["task_type"].startswith(OWN_TYPES))
        for worker in workers
    )
