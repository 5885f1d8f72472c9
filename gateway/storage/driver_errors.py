"""Errors of the PostgreSQL driver, translated into the gateway's own."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
import traceback

import asyncpg

from gateway.errors import DatabaseReadOnly, DatabaseUnavailable, OutcomeUnknown
from gateway.observability.error_text import message_of

log = logging.getLogger(__name__)

#: How often the same reason of the server is logged (seconds).
SAY_SECONDS = 10.0
_said_at: dict[type[BaseException], float] = {}


class StatementTooLong(Exception):
    """A statement was cancelled at the gateway's own limit, and the server confirmed that it is there.

    Either the statement asks for too much, or it had to wait: for a lock, or for a busy server.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a statement took longer than {seconds:g} s, and was cancelled")


#: The server's answers where it can do nothing for now: whatever was asked is undone, and can be repeated.
_NOT_NOW = (
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that is being replaced
    asyncpg.InsufficientResourcesError,  # a full disk, no memory, too many connections
    asyncpg.QueryCanceledError,  # `statement_timeout`, or a person
    asyncpg.PostgresSystemError,  # of its files
)

#: Of these, those that may be meant for this one statement.
_CUT_SHORT = (
    StatementTooLong,
    asyncpg.QueryCanceledError,
    asyncpg.OutOfMemoryError,
    asyncpg.ConfigurationLimitExceededError,
)

#: What asyncpg raises when the server is away, restarting or full.
_AWAY = (
    *_NOT_NOW,
    StatementTooLong,
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    # Rolled back in favour of another transaction; it can be repeated.
    asyncpg.DeadlockDetectedError,
    # The server has announced its end on this connection: the statement is not sent.
    asyncpg.InternalClientError,
)

#: Of these, errors after which certainly nothing was done.
_UNDONE = (*_NOT_NOW, asyncpg.DataError, asyncpg.ReadOnlySQLTransactionError, asyncpg.DeadlockDetectedError)

#: All errors of asyncpg itself.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
#: The data cannot be stored (a value out of range, a limit of the server): a repetition does not help.
UNSTORABLE = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


#: Where the driver's code is.
_DRIVER = os.path.dirname(asyncpg.__file__) + os.sep


def is_away(error: BaseException | None) -> bool:
    """Whether the driver raised it because the server is away. Its errors of the operating system and of time look like
    those of whoever works between two statements, but came through its code."""
    if not isinstance(error, _AWAY) or isinstance(error, asyncpg.DataError):
        return False
    if isinstance(error, StatementTooLong) or not isinstance(error, OSError | TimeoutError):
        return True
    return any(frame.f_code.co_filename.startswith(_DRIVER) for frame, _ in traceback.walk_tb(error.__traceback__))


def was_cut_short(error: BaseException | None) -> bool:
    """Whether PostgreSQL gave up this statement, cancelled or beyond a limit, and may well carry out others."""
    return isinstance(_of_driver(error), _CUT_SHORT)


def took_too_long(error: BaseException | None) -> bool:
    """Of what was cut short: at the gateway's own limit, which a repetition may well keep."""
    return isinstance(_of_driver(error), StatementTooLong)


def _of_driver(error: BaseException | None) -> BaseException | None:
    """What this error was translated from."""
    while isinstance(error, DatabaseUnavailable):
        error = error.__cause__
    return error


def is_outage(error: BaseException) -> bool:
    """Whether nothing else would fare better. Who repeats one thing until PostgreSQL is back keeps others waiting."""
    return (isinstance(error, DatabaseUnavailable) or is_away(error)) and not was_cut_short(error)


def _say(error: BaseException) -> None:
    """The server is there, and does nothing: somebody has to know why. Each reason once in a while."""
    now = time.monotonic()
    if now - _said_at.get(type(error), -math.inf) >= SAY_SECONDS:
        _said_at[type(error)] = now
        log.warning("PostgreSQL does not do it: %s", message_of(error))


class translated:
    """Raises `DatabaseUnavailable` in place of the driver's errors that a repetition may mend, with the error as its
    cause; other errors inside stay as they are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            raise DatabaseReadOnly(retry_after=2) from error
        if isinstance(error, (*_NOT_NOW, StatementTooLong)):
            _say(error)
        if is_away(error):
            raise DatabaseUnavailable(retry_after=2) from error


class uncertain:
    """For commits: raises `OutcomeUnknown` in place of errors after which it may have been done."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _AWAY) and not isinstance(error, _UNDONE):
            raise OutcomeUnknown(retry_after=2) from error
