"""The one writer of the record: a change is made only with its entry, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg

from gateway.audit.chain import OPENING, Entry, hash_of
from gateway.audit.errors import LedgerUnwritable
from gateway.storage.database import type_Connection
from gateway.storage.driver_errors import translated
from gateway.storage.queries import Queries

SQL = Queries("gateway.audit", "audit.sql")

AnyConnection: TypeAlias = "type_Connection | asyncpg.Connection"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What an entry says; its number, time and hashes come with the writing (`gateway.audit.chain.Entry`)."""

    kind: str
    source: str
    scope: str
    before: str | None
    after: str | None
    who: str
    why: str
    version: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def refusing() -> Iterator[None]:
    """What PostgreSQL refuses inside is `LedgerUnwritable`; a lost connection `DatabaseUnavailable`."""
    try:
        with translated():
            yield
    except asyncpg.PostgresError as error:
        raise LedgerUnwritable(f"The ledger cannot be written ({error}); the change is refused.") from error


async def lock(connection: AnyConnection) -> None:
    """Become the one writer until the end of the transaction."""
    await connection.execute(SQL.lock_chain)


async def append_entry(connection: AnyConnection, new: NewEntry) -> int:
    """Write the entry, as part of the transaction of the change itself; its id.

    Others who append wait until that transaction ends: do it last. Raises `LedgerUnwritable` when PostgreSQL refuses
    it (the change must not be made then; the transaction can only be rolled back), `DatabaseUnavailable`.
    """
    with refusing():
        await lock(connection)
        return await append_entry_locked(connection, new)


async def append_entry_locked(connection: AnyConnection, new: NewEntry) -> int:
    """As `append_entry`, for a transaction that holds the lock of the chain; the driver's errors as they are."""
    head = await connection.fetchrow(SQL.head)
    assert head is not None
    previous = head["hash"] or OPENING
    entry = Entry(
        head["id"] + 1,
        head["now"],
        new.kind,
        new.source,
        new.scope,
        new.before,
        new.after,
        new.who,
        new.why,
        new.version,
        json.dumps(new.evidence, sort_keys=True, default=str),
    )
    fields = (getattr(entry, name) for name in Entry.__slots__)
    await connection.execute(SQL.append, *fields, previous, hash_of(previous, entry))
    return entry.id
