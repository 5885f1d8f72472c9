"""The leader's database: its writes carry the number of its term, and are refused once another gateway leads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from backends.errors import TaskgateError
from gateway.recovery.lease import LOCK_CLASS
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries

SQL = Queries("gateway.recovery", "leader.sql")

#: The advisory lock that the statements of a term share, and that a new term takes (process locks have keys ≥ 0).
TERM_KEY = -2


class LeadershipLost(TaskgateError):
    """This gateway is not the leader, or no longer."""

    code = "leadership_lost"


class FencedDatabase(Database):
    """The pool of a database, for statements of the leader: each is a transaction that first checks `term`.

    Methods raise `LeadershipLost`, and what `Database` raises. No new term begins while a statement of the present one
    is under way. So at most one gateway acts as leader at any time, whatever each of them believes.
    """

    def __init__(self, database: Database) -> None:
        self._shared = database
        self.url = database.url
        self._confirm = database._confirm
        self.term: int | None = None
        """The term that this gateway leads; None: it does not lead."""

    async def open(self) -> asyncpg.Pool:
        return await self._shared.open()

    async def close(self) -> None:
        """Does nothing: the pool belongs to another object."""

    def replace_connections(self, since: float) -> None:
        self._shared.replace_connections(since)

    async def connect(self) -> asyncpg.Connection:
        return await self._shared.connect()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[type_Connection]:
        """A connection with a transaction of the term. Raises `LeadershipLost`, `DatabaseUnavailable`."""
        if self.term is None:
            raise LeadershipLost
        async with self._shared.transaction() as connection:
            is_ours = await connection.fetchval(SQL.share, LOCK_CLASS, TERM_KEY)
            if not is_ours or not await connection.fetchval(SQL.holds, self.term):
                raise LeadershipLost
            yield connection
