"""What the PostgreSQL driver raises, and the gateway's own errors in its place."""

from __future__ import annotations

import asyncio

import asyncpg

from gateway.errors import DatabaseReadOnly, DatabaseUnavailable, OutcomeUnknown

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

#: Of these, what leaves no doubt that nothing was done.
_UNDONE = (asyncpg.DataError, asyncpg.ReadOnlySQLTransactionError, asyncpg.DeadlockDetectedError)

#: Everything that asyncpg raises of its own.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
#: The data itself cannot be stored (a value out of range, a limit of the server): no repetition helps.
UNSTORABLE = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


class translated:
    """Raises `DatabaseUnavailable` in place of the driver's connection errors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            raise DatabaseReadOnly(retry_after=2) from error
        if isinstance(error, _AWAY) and not isinstance(error, asyncpg.DataError):
            raise DatabaseUnavailable(retry_after=2) from error


class uncertain:
    """Around what commits: raises `OutcomeUnknown` in place of the errors after which it may have been done."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _AWAY) and not isinstance(error, _UNDONE):
            raise OutcomeUnknown(retry_after=2) from error
