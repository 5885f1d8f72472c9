"""The leader's way to PostgreSQL: its writes carry the number of its term, and are refused once somebody else leads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from backends.errors import TaskgateError
from gateway.recovery.lease import LOCK_CLASS
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries

SQL = Queries("gateway.recovery", "leader.sql")

#: The advisory lock that the statements of a term share, and the next term begins with (process locks have keys ≥ 0).
TERM_KEY = -2


class LeadershipLost(TaskgateError):
    """This gateway does not lead, or not any more."""

    code = "leadership_lost"


class FencedDatabase(Database):
    """The same pool, for what only the leader may do: each statement is a transaction that first checks `term`.

    Everything raises `LeadershipLost` besides what `Database` raises. While a statement of a term is under way, no
    other term begins; so at most one gateway acts at any time, whatever each believes.
    """

    def __init__(self, database: Database) -> None:
        self._shared = database
        self.url = database.url
        self._confirm = database._confirm
        self.term: int | None = None
        """The term of which this gateway is the leader; None: of none."""

    async def open(self) -> asyncpg.Pool:
        return await self._shared.open()

    async def close(self) -> None:
        """Nothing: the pool is another one's."""

    def replace_connections(self, since: float) -> None:
        self._shared.replace_connections(since)

    async def connect(self) -> asyncpg.Connection:
        return await self._shared.connect()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[type_Connection]:
        """A connection, in a transaction of the term. Raises `LeadershipLost`, `DatabaseUnavailable`."""
        if self.term is None:
            raise LeadershipLost
        async with self._shared.transaction() as connection:
            is_ours = await connection.fetchval(SQL.share, LOCK_CLASS, TERM_KEY)
            if not is_ours or not await connection.fetchval(SQL.holds, self.term):
                raise LeadershipLost
            yield connection
