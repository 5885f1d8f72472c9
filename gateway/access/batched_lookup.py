"""Gathers lookups that are asked at the same moment into one statement.

This is no cache: a lookup is only ever answered by a statement that was sent after it was asked. While few ask,
each lookup goes out at once and alone; under load a statement carries all that came while the one before it was
under way. There is one at a time: calls of gRPC come one by one, and with a second statement hardly any would share.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.access", "access.sql")

#: Lookups in one statement.
LARGEST_BATCH = 200
#: Pause between statements about keys that are likely wrong (seconds): 2,000 keys a second at most.
SUSPECT_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Lookup:
    """The question to the database for one request: the caller (by key or by user), and the ids that are named."""

    key_hash: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    tenant_id: str | None = None


class BatchedLookups:
    """Asks the database; as many callers as like to may ask at once."""

    def __init__(self, database: Database, *, pause: float = 0.0) -> None:
        """`pause`: seconds from one statement to the next, at least."""
        self._db = database
        self._pause = pause
        self._next_at = 0.0
        self._open: deque[tuple[Lookup, asyncio.Future[Any]]] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, lookup: Lookup) -> Any:
        """The row of `access.sql:admit` for this lookup. Raises `DatabaseUnavailable`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open.append((lookup, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._answer_all())
        return await answer

    async def _answer_all(self) -> None:
        try:
            while self._open:
                if self._pause:
                    clock = asyncio.get_running_loop().time
                    await asyncio.sleep(max(0.0, self._next_at - clock()))
                    self._next_at = clock() + self._pause
                batch = [self._open.popleft() for _ in range(min(len(self._open), LARGEST_BATCH))]
                # Who has gone away in the meantime needs no answer.
                await self._answer([(lookup, answer) for lookup, answer in batch if not answer.done()])
        finally:
            # In the same step as the last look at `_open`: a lookup that comes now starts a task of its own.
            self._asking = None

    async def _answer(self, batch: list[tuple[Lookup, asyncio.Future[Any]]]) -> None:
        if not batch:
            return
        try:
            rows = await self._fetch([lookup for lookup, _ in batch])
        except asyncio.CancelledError:
            for _, answer in batch:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 (whoever asked gets it)
            if len(batch) > 1 and not isinstance(error, DatabaseUnavailable):
                # One lookup that PostgreSQL refuses must not spoil the others.
                for one in batch:
                    await self._answer([one])
                return
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), row in zip(batch, rows, strict=True):
            if not answer.done():
                answer.set_result(row)

    async def _fetch(self, lookups: list[Lookup]) -> list[Any]:
        return await self._db.fetch(
            SQL.admit,
            [lookup.key_hash for lookup in lookups],
            [lookup.user_id for lookup in lookups],
            [lookup.project_id for lookup in lookups],
            [lookup.tenant_id for lookup in lookups],
        )
