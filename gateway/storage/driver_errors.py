"""Errors of the PostgreSQL driver, translated into the gateway's own."""

from __future__ import annotations

import asyncio
import os
import traceback

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
    # Rolled back in favour of another transaction; it can be repeated.
    asyncpg.DeadlockDetectedError,
    # The server has announced its end on this connection: the statement is not sent.
    asyncpg.InternalClientError,
)

#: Of these, errors after which certainly nothing was done.
_UNDONE = (asyncpg.DataError, asyncpg.ReadOnlySQLTransactionError, asyncpg.DeadlockDetectedError)

#: All errors of asyncpg itself.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
#: The data cannot be stored (a value out of range, a limit of the server): a repetition does not help.
UNSTORABLE = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


#: Where the driver's code is.
_DRIVER = os.path.dirname(asyncpg.__file__) + os.sep


def _is_away(error: BaseException | None) -> bool:
    """Whether the driver raised it because the server is away. Its errors of the operating system and of time look like
    those of whoever works between two statements, but came through its code."""
    if not isinstance(error, _AWAY) or isinstance(error, asyncpg.DataError):
        return False
    if not isinstance(error, OSError | TimeoutError):
        return True
    return any(frame.f_code.co_filename.startswith(_DRIVER) for frame, _ in traceback.walk_tb(error.__traceback__))


class translated:
    """Raises `DatabaseUnavailable` in place of the driver's connection errors; other errors inside stay as they are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            raise DatabaseReadOnly(retry_after=2) from error
        if _is_away(error):
            raise DatabaseUnavailable(retry_after=2) from error


class uncertain:
    """For commits: raises `OutcomeUnknown` in place of errors after which it may have been done."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _AWAY) and not isinstance(error, _UNDONE):
            raise OutcomeUnknown(retry_after=2) from error
