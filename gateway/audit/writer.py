"""The one writer of the record: a change is made only with its entry, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from typing import TypeAlias

import asyncpg

from gateway.audit.chain import GENESIS_HASH, Entry, hash_of
from gateway.audit.errors import LedgerUnwritable
from gateway.observability.error_text import message_of
from gateway.storage.database import type_Connection
from gateway.storage.driver_errors import translated
from gateway.storage.queries import Queries

SQL = Queries("gateway.audit", "audit.sql")

AnyConnection: TypeAlias = "type_Connection | asyncpg.Connection"


@contextmanager
def refusing() -> Iterator[None]:
    """What PostgreSQL refuses inside is `LedgerUnwritable`; a database that is away `DatabaseUnavailable`."""
    try:
        with translated():
            yield
    except asyncpg.PostgresError as error:
        raise LedgerUnwritable(f"The ledger cannot be written ({message_of(error)}); the change is refused.") from error


async def lock(connection: AnyConnection) -> None:
    """Become the one writer until the end of the transaction."""
    await connection.execute(SQL.lock_chain)


async def append_entry(connection: AnyConnection, entry: Entry) -> int:
    """Write the entry, as part of the transaction of the change itself; its id.

    Others who append wait until that transaction ends: do it last. Raises `LedgerUnwritable` when PostgreSQL refuses
    it (the change must not be made then; the transaction can only be rolled back), `DatabaseUnavailable`.
    """
    with refusing():
        await lock(connection)
        return await append_entry_locked(connection, entry)


async def append_entry_locked(connection: AnyConnection, entry: Entry, *, undoes: int | None = None) -> int:
    """As `append_entry`, for a transaction that holds the lock of the chain; the driver's errors as they are.

    `undoes`: the entry that this one takes back.
    """
    head = await connection.fetchrow(SQL.head)
    assert head is not None
    previous, entry_id, at = head["hash"] or GENESIS_HASH, head["id"] + 1, head["now"]
    hashed = hash_of(previous, entry_id, at, entry)
    await connection.execute(SQL.append, entry_id, at, *astuple(entry), previous, hashed, undoes)
    return int(entry_id)
