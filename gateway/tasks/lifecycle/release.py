"""Takes the gateway out: reserved rows of Redis tasks become ordinary pending rows again (design §3)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.tasks.lifecycle", "release.sql")


@dataclass(frozen=True, slots=True)
class Released:
    """How many rows were given back, and what is left: (backend, state) → tasks."""

    rows: int
    left: dict[tuple[str, str], int]


async def release(database: Database) -> Released:
    """Give every waiting Redis task back to the legacy system. To be run when no gateway does; repeatable.

    From then on unmodified legacy workers do with these rows what they always did. Raises `DatabaseUnavailable`.
    """
    rows = await database.fetch(SQL.release)
    left = await database.fetch(SQL.left)
    return Released(len(rows), {(row["backend"], row["state"]): row["tasks"] for row in left})
