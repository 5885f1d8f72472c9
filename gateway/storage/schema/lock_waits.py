"""What a migration does when it does not get a lock: it lets others pass, says whom it waits for, and tries again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

#: How long a statement of a migration may wait for a lock (seconds). Whoever comes after it for the same table waits
#: behind it: shorter than the renewal of a lease may take.
LOCK_SECONDS = 1
#: After a lock that was not to be had, until it is tried again (seconds): the first, doubled up to the last.
FIRST_PAUSE, LAST_PAUSE = 2.0, 30.0
#: Whoever holds a lock for long has been at it for long.
OLDEST = text("""
SELECT format(
    '%s (pid %s, since %s)', COALESCE(NULLIF(application_name, ''), usename), pid, date_trunc('second', xact_start)
)
FROM pg_stat_activity
WHERE datname = current_database() AND xact_start < now() - interval '1 s' AND backend_type = 'client backend'
ORDER BY xact_start LIMIT 1
""")


def pauses() -> Iterator[float]:
    """How long to wait before each further attempt (seconds)."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LAST_PAUSE)


def is_without_lock(error: DBAPIError) -> bool:
    """Whether a statement gave up because it did not get a lock in time, or each of two had what the other wanted."""
    return isinstance(cause_of(error), asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError)


def cause_of(error: DBAPIError) -> BaseException | None:
    """The driver's error, which is the cause of two of SQLAlchemy's."""
    return error.orig and error.orig.__cause__


def say(error: DBAPIError, oldest: Row[Any] | None, pause: float) -> None:
    """Tell what the migration waits for. `oldest`: the answer to `OLDEST`."""
    statement = " ".join((error.statement or "").split())[:100]
    holder = "" if oldest is None else f"; the oldest transaction there is that of {oldest[0]}"
    log.warning("the migration waits for a lock (%s)%s; again in %g s", statement, holder, pause)
