"""The ledger's entries of a change outside of the database: written before it, and taken back when it was not made."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from backends.errors import TaskgateError
from gateway.audit.errors import LedgerUnwritable
from gateway.audit.writer import lock, refusing
from gateway.errors import DatabaseUnavailable
from gateway.migration.flags.errors import FlagOutcomeUnknown
from gateway.migration.ledger.changes import append_all, undone
from gateway.migration.ledger.flips import SEVERAL
from gateway.migration.ledger.writer import SQL, Flip, says_the_same
from gateway.storage.database import Database, type_Connection

log = logging.getLogger(__name__)

#: Runs in the transaction that writes the ledger; what it raises keeps the change from being made.
Also = Callable[[type_Connection], Awaitable[None]]


async def nothing_else(connection: type_Connection) -> None:
    """The change alone."""


class _OnlyTried(Exception):
    """Nothing of it is to stay."""


@asynccontextmanager
async def recorded_first(database: Database, flips: Sequence[Flip], also: Also = nothing_else) -> AsyncIterator[None]:
    """Around a change outside of the database: the ledger is written before it, and again when it was not made.

    A change that is tried again has both entries already: there are no more of it until it is made, or is not made for
    another reason. Raises `DatabaseUnavailable`, `LedgerUnwritable` before the block has begun.
    """
    before = await _not_made_because(database, flips)
    async with database.transaction() as connection:
        await also(connection)
        if before is None:
            entries = await append_all(connection, flips)
        else:
            await _check_writable(connection, flips)
    try:
        yield
    except FlagOutcomeUnknown:
        raise  # who sees it made records it
    except TaskgateError as error:
        if before is not None and _is_alike(before, undone(flips[0], error.message, 0).why):
            log.info("A change of %s is still not made: %s", ", ".join(flip.scope for flip in flips), error.message)
            raise
        async with database.transaction() as connection:
            if before is not None:
                entries = await append_all(connection, flips)
            back = [undone(flip, error.message, entry) for flip, entry in zip(flips, entries, strict=True)]
            await append_all(connection, back)
        raise
    if before is not None:
        await _record_made(database, flips)


async def _not_made_because(database: Database, flips: Sequence[Flip]) -> str | None:
    """Why these very changes were not made when they were tried last; None: they were not, or something came since."""
    rows = {row["scope"]: row for row in await database.fetch(SQL.not_made, [flip.scope for flip in flips])}
    if not flips or not all(flip.scope in rows and says_the_same(flip, dict(rows[flip.scope])) for flip in flips):
        return None
    return str(rows[flips[0].scope]["not_made"])


def _is_alike(one: str, other: str) -> bool:
    """Numbers aside: a pause in seconds, a status of a server that is broken."""
    return re.sub(r"\d+", "0", one) == re.sub(r"\d+", "0", other)


async def _check_writable(connection: type_Connection, flips: Sequence[Flip]) -> None:
    """Raises `LedgerUnwritable` when what is recorded after the change could not be."""
    with suppress(_OnlyTried):
        async with connection.transaction():
            await append_all(connection, flips)
            raise _OnlyTried


async def _record_made(database: Database, flips: Sequence[Flip]) -> None:
    """After the change: what no gateway has seen and recorded yet. One that sees it does so if this fails."""
    try:
        async with database.transaction() as connection:
            with refusing():
                await lock(connection)
                rows = await connection.fetch(SQL.in_force, "flag")
            known = {row["scope"]: row["setting"] for row in rows}
            await append_all(connection, [flip for flip in flips if not _is_recorded(flip, known)])
    except (DatabaseUnavailable, LedgerUnwritable) as error:
        log.warning("A change that was made is left to be recorded by who sees it: %s", error.message)


def _is_recorded(flip: Flip, known: Mapping[str, str]) -> bool:
    listed: dict[str, list[str]] = flip.evidence["scopes"] if flip.scope == SEVERAL else {flip.scope: [flip.setting]}
    return all(known.get(scope, "") == texts[-1] for scope, texts in listed.items())
