"""Commits tasks that are accepted at the same moment in one transaction, with one wait for the disk."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.driver_errors import uncertain

#: Rows of one transaction.
LARGEST_BATCH = 100
#: Transactions at once: PostgreSQL writes one while the gateway prepares the other. With one, 16 clients over gRPC have
#: a quarter less accepted a second (464 against 606, the median of five rounds in turns).
WRITERS = 2

Row = tuple[Any, ...]


class Acceptances:
    """Runs `one` for a row, and `many` for the rows that wait at the same time, which are given by column.

    A single row is written at once; those that come while all writers are busy are written together after it. A row
    that PostgreSQL refuses fails alone. The statements may not wait for other transactions: everybody would.
    """

    def __init__(self, database: Database, *, one: str, many: str) -> None:
        self._db = database
        self._one, self._many = one, many
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._writing = 0
        self._writers: set[asyncio.Task[None]] = set()

    async def add(self, row: Row) -> None:
        """Return when the row is committed.

        Raises `OutcomeUnknown` if it may be committed, `DatabaseUnavailable` if it is not, or PostgreSQL's own error.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, committed))
        if self._writing < WRITERS:
            self._writing += 1
            writer = asyncio.create_task(self._write(), name="accept")
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        await committed

    async def _write(self) -> None:
        try:
            await self._write_all()
        finally:
            # No await since `_waiting` was checked: a row that comes from now on starts a new writer.
            self._writing -= 1

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:LARGEST_BATCH], self._waiting[LARGEST_BATCH:]
            try:
                await self._commit([row for row, _ in batch])
            except asyncpg.PostgresError as error:
                if len(batch) == 1:
                    _fail(batch[0][1], error)
                else:
                    await self._each(batch)
            except BaseException as error:
                for _, committed in batch:
                    _fail(committed, error)
                if not isinstance(error, Exception):
                    raise
            else:
                for _, committed in batch:
                    if not committed.done():
                        committed.set_result(None)

    async def _commit(self, rows: list[Row]) -> None:
        async with self._db.acquire() as connection:
            with uncertain():
                if len(rows) == 1:
                    await connection.execute(self._one, *rows[0])
                else:
                    await connection.execute(self._many, *(list(column) for column in zip(*rows, strict=True)))

    async def _each(self, batch: list[tuple[Row, asyncio.Future[None]]]) -> None:
        """One row was refused, and all were rolled back: write each by itself."""
        for row, committed in batch:
            try:
                await self._commit([row])
            except (asyncpg.PostgresError, DatabaseUnavailable) as error:
                _fail(committed, error)
            else:
                if not committed.done():
                    committed.set_result(None)


def _fail(committed: asyncio.Future[None], error: BaseException) -> None:
    if not committed.done():
        committed.set_exception(error)
