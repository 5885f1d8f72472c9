"""The pool of PostgreSQL connections, with the driver's errors translated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from gateway.errors import DatabaseUnavailable

#: What asyncpg raises when the server is away, restarting or full.
_AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    # Rolled back for the sake of another one; the same again will do.
    asyncpg.DeadlockDetectedError,
    # A connection that was told of the server's end and is not yet closed: the statement is not even sent.
    asyncpg.InternalClientError,
)

#: Everything that asyncpg raises of its own.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

#: The server ends sessions whose client has vanished from the network, with the locks that they hold: a lease's after
#: 3 s, others after some 11 s.
_ALERT = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "3000",
    # A crash of the server ends all leases anyway; what hangs on one waits for the disk, and so for all before it.
    "synchronous_commit": "off",
}
_PATIENT = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
    "idle_in_transaction_session_timeout": "60000",
}

type_Connection = asyncpg.pool.PoolConnectionProxy


async def _keep_session(connection: object) -> None:
    """In place of asyncpg's `RESET ALL` at each release, a round trip per statement.

    Nothing on a pooled connection outlives its transaction: no settings, cursors or LISTEN, which `connect` is for.
    asyncpg itself still rolls back what was left open.
    """


class Database:
    """Opens its pool on first use, so that a gateway starts while PostgreSQL is away."""

    def __init__(
        self, url: str, *, size: int = 10, acquire_timeout: float = 5.0, name: str = "taskgate", alert: bool = False
    ) -> None:
        self.url = url
        self._size = size
        self._timeout = acquire_timeout
        # Statements here are short; compiling one costs more than running it (the planner's estimates cannot know).
        self._server_settings = {"application_name": name, "jit": "off", **(_ALERT if alert else _PATIENT)}
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> asyncpg.Pool:
        """The pool. Raises `DatabaseUnavailable`."""
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._pool is None:
                with translated():
                    self._pool = await asyncpg.create_pool(
                        self.url,
                        min_size=1,
                        max_size=self._size,
                        timeout=self._timeout,
                        command_timeout=60,
                        reset=_keep_session,
                        server_settings=self._server_settings,
                    )
        assert self._pool is not None
        return self._pool

    async def close(self) -> None:
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5)
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[type_Connection]:
        """A connection for several statements. Raises `DatabaseUnavailable`."""
        pool = await self.open()
        with translated():
            # One that is idle is taken at once; a limit on that would cost a task of its own per statement.
            async with pool.acquire(timeout=None if pool.get_idle_size() else self._timeout) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[type_Connection]:
        """A connection inside a transaction, committed when the block ends without an exception."""
        async with self.acquire() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        async with self.acquire() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None:
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        async with self.acquire() as connection:
            return await connection.execute(query, *args)

    async def connect(self) -> asyncpg.Connection:
        """A connection outside the pool, for LISTEN and session locks; the caller closes it."""
        with translated():
            return await asyncpg.connect(self.url, timeout=self._timeout, server_settings=self._server_settings)


class translated:
    """Raises `DatabaseUnavailable` in place of the driver's connection errors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _AWAY) and not isinstance(error, asyncpg.DataError):
            raise DatabaseUnavailable(retry_after=2) from error
