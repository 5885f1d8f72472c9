"""Deleting what is old in batches, so that no statement runs for long and none locks much."""

from __future__ import annotations

from typing import Any, Final

from gateway.storage.database import Database

#: Rows that are deleted in one statement.
BATCH: Final = 10_000


async def forget(database: Database, query: str, *arguments: Any, batch: int = BATCH) -> None:
    """Repeat a DELETE, whose last argument is how many rows it may take, until it takes fewer.

    Raises `DatabaseUnavailable`.
    """
    while await database.execute(query, *arguments, batch) == f"DELETE {batch}":
        pass
