"""The pool of PostgreSQL connections, with the driver's errors translated."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from gateway.secret_files import Secret, text_of
from gateway.storage.driver_errors import DRIVER_ERRORS, StatementTooLong, is_away, translated, uncertain

log = logging.getLogger(__name__)

#: A statement that takes longer (seconds) is cancelled. A server that does not confirm that in time counts as gone. So
#: nobody waits longer than the sum of the two for a server that has vanished.
STATEMENT_SECONDS = 8.0
CONFIRM_SECONDS = 2.0
#: False on a standby, and where writes are switched off.
IS_WRITABLE = "SELECT NOT (pg_is_in_recovery() OR current_setting('transaction_read_only')::bool)"

#: How long statements under way on a replaced pool may still take (seconds).
_RETIRE_SECONDS = 10.0

#: Both ends drop a connection whose other end has vanished from the network; the server then frees its locks. The
#: connection of a lease is dropped after 3 s, others after some 11 s.
_ALERT = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "3000",
    # A crash of the server ends all leases anyway; a commit that depends on one waits for the disk, and so for these.
    "synchronous_commit": "off",
}
_PATIENT = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
    "idle_in_transaction_session_timeout": "60000",
}

#: Statements here are short: to compile one, or to start processes for it, takes longer than to run it. The planner,
#: whose estimates cannot know that, would do so for a page of a list, once a table is large.
_BRIEF = {"jit": "off", "max_parallel_workers_per_gather": "0"}

#: The client's end of the same settings.
_SOCKET_OPTIONS = {
    "tcp_keepalives_idle": "TCP_KEEPIDLE",
    "tcp_keepalives_interval": "TCP_KEEPINTVL",
    "tcp_keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}

type_Connection = asyncpg.pool.PoolConnectionProxy


class _Session(asyncpg.Connection):
    """Notices that its server has vanished; asyncpg offers no other access to its socket."""

    __slots__ = ()

    def __init__(self, protocol: Any, transport: Any, loop: Any, address: Any, config: Any, params: Any) -> None:
        super().__init__(protocol, transport, loop, address, config, params)
        if isinstance(address, str):  # a socket of the file system
            return
        end = transport.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for setting, option in _SOCKET_OPTIONS.items():
            if hasattr(socket, option) and setting in params.server_settings:
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), int(params.server_settings[setting]))


async def connect(url: Secret, *, name: str = "taskgate", alert: bool = False, **options: Any) -> asyncpg.Connection:
    """A connection to the server that takes writes, among those in the URL; the caller closes it.

    `alert`: both ends notice within 3 s when the other one vanished, instead of 11. Options are those of
    `asyncpg.connect`. Raises `DatabaseUnavailable`.
    """
    with translated():
        return await _dial(url, **{**_session(name=name, alert=alert), **options})


async def _dial(url: Secret, **options: Any) -> asyncpg.Connection:
    """A connection, with the secret as it is now."""
    text = text_of(url)
    # A standby refuses writes, and its reads are out of date.
    target = None if "target_session_attrs=" in text else "read-write"
    try:
        return await asyncpg.connect(text, **{"target_session_attrs": target, **options})
    except asyncpg.ClientConfigurationError:
        raise
    except ValueError:  # of what the address is taken apart with; its words may have the password in them
        raise asyncpg.ClientConfigurationError("the address of the database cannot be taken apart") from None


def _session(*, name: str, alert: bool) -> dict[str, Any]:
    """The options of every connection."""
    return {
        "connection_class": _Session,
        "server_settings": {"application_name": name, **_BRIEF, **(_ALERT if alert else _PATIENT)},
    }


async def _keep_session(connection: object) -> None:
    """Replaces asyncpg's `RESET ALL` at each release, which costs a round trip per statement.

    Nothing on a pooled connection outlives its transaction: no settings, cursors or LISTEN, which `connect` is for.
    asyncpg itself still rolls back what was left open.
    """


class Database:
    """Opens its pool on first use, so that a gateway starts while PostgreSQL is away.

    No call waits longer than some ten seconds for a server that has vanished. If a connection is dead, or may no longer
    write, the whole pool is replaced, because its connections lead to the same server.
    """

    def __init__(
        self,
        url: Secret,
        *,
        size: int = 10,
        acquire_timeout: float = 5.0,
        statement_timeout: float = STATEMENT_SECONDS,
        name: str = "taskgate",
        alert: bool = False,
    ) -> None:
        self.url = url
        self._size = size
        self._timeout = acquire_timeout
        # Sooner than asyncpg gives up on its cancellation, and ends the connection without telling us.
        self._confirm = min(CONFIRM_SECONDS, statement_timeout / 2)
        self._session = {**_session(name=name, alert=alert), "command_timeout": statement_timeout}
        self._pool: asyncpg.Pool | None = None
        self._opened = 0.0
        self._opening = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def open(self) -> asyncpg.Pool:
        """The pool. Raises `DatabaseUnavailable`."""
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._pool is None:
                with translated():
                    self._pool = await asyncpg.create_pool(
                        connect=self._dial,
                        min_size=1,
                        max_size=self._size,
                        timeout=self._timeout,
                        reset=_keep_session,
                        **self._session,
                    )
                self._opened = time.monotonic()
        assert self._pool is not None
        return self._pool

    def connections(self) -> dict[str, int]:
        """How many there are, by what they do: `used`, `idle`; `free`: how many more may be opened."""
        pool = self._pool
        size, idle = (pool.get_size(), pool.get_idle_size()) if pool is not None else (0, 0)
        return {"used": size - idle, "idle": idle, "free": self._size - size}

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await _retire(pool, 5)
        for retiring in self._retiring:
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def replace_connections(self, since: float) -> None:
        """A connection that was taken at this time (`time.monotonic`) can no longer be used: replace all."""
        if self._pool is None or since < self._opened:
            return
        pool, self._pool = self._pool, None
        retiring = asyncio.create_task(_retire(pool, _RETIRE_SECONDS), name="retire connections")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[type_Connection]:
        """A connection for several statements. Raises `DatabaseUnavailable`."""
        pool = await self.open()
        with translated():
            # An idle connection is taken at once; a timeout would cost an asyncio task per statement.
            connection = await pool.acquire(timeout=None if pool.get_idle_size() else self._timeout)
            taken = time.monotonic()
            try:
                yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                self.replace_connections(taken)
                _terminate(connection)
                raise
            except TimeoutError as error:
                if not is_away(error) or not await self._answers(connection, taken):
                    raise
                raise StatementTooLong(self._session["command_timeout"]) from error
            finally:
                # The statements are done, even if the connection cannot be given back.
                try:
                    await pool.release(connection, timeout=self._confirm)
                except TimeoutError:
                    self.replace_connections(taken)
                except (OSError, *DRIVER_ERRORS) as error:
                    log.debug("a connection was not given back: %s", type(error).__name__)

    async def _answers(self, connection: type_Connection, taken: float) -> bool:
        """Whether the server gave up the statement that took too long, and is there for others."""
        try:
            with contextlib.suppress(asyncpg.InFailedSQLTransactionError):  # an answer, too
                async with asyncio.timeout(self._confirm):
                    await connection.execute("SELECT 1")
        except TimeoutError:
            self.replace_connections(taken)
            _terminate(connection)
            return False
        except (OSError, *DRIVER_ERRORS):
            return False
        return True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[type_Connection]:
        """A connection inside a transaction, committed when the block ends without an exception.

        Raises `OutcomeUnknown` when it may be committed or not, `DatabaseUnavailable` when it is not.
        """
        async with self.acquire() as connection:
            taken = time.monotonic()
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
            except BaseException:
                await self._roll_back(connection, transaction, taken)
                raise
            with uncertain():
                await transaction.commit()

    async def _roll_back(
        self, connection: type_Connection, transaction: asyncpg.transaction.Transaction, taken: float
    ) -> None:
        """Roll back. A server that does not answer rolls back itself when the connection ends."""
        try:
            async with asyncio.timeout(self._confirm):
                await transaction.rollback()
        except TimeoutError:
            self.replace_connections(taken)
            _terminate(connection)
        except (OSError, *DRIVER_ERRORS):
            _terminate(connection)

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
        """A connection outside the pool, for LISTEN and session locks, with the same time limits; the caller closes
        it. Raises `DatabaseUnavailable`."""
        with translated():
            return await self._dial(timeout=self._timeout, **self._session)

    async def _dial(self, *_dsn: object, **options: Any) -> asyncpg.Connection:
        """Also the pool's way to a connection, to which it hands a DSN of its own: none."""
        return await _dial(self.url, **options)


def _terminate(connection: type_Connection) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):  # it is ended already
        connection.terminate()


async def _retire(pool: asyncpg.Pool, seconds: float) -> None:
    """Close it when the statements under way have ended, but after so many seconds at the latest."""
    try:
        async with asyncio.timeout(seconds):
            await pool.close()
    except (TimeoutError, OSError, *DRIVER_ERRORS):
        pool.terminate()
