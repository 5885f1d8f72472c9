"""What holds the flag, as the door of the stages sees it: a file, or rows of our schema."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import DatabaseUnavailable
from gateway.migration.flags.errors import FlagStoreUnavailable, StageChangeRefused
from gateway.migration.flags.recording import Also, nothing_else, recorded_first
from gateway.migration.ledger.changes import append_all
from gateway.migration.ledger.writer import Flip
from gateway.routing import flag_table
from gateway.routing.errors import FlagFileInvalid, FlagVersionStale
from gateway.routing.flag_document import Json, content_version, parse_document
from gateway.routing.flag_file import FlagChange, FlagFile
from gateway.storage.database import Database


@dataclass(frozen=True, slots=True)
class Held:
    """What a store holds. `version` 0: nothing yet; `problem`: why there is no document although there is something."""

    version: int
    document: Json | None
    problem: str | None = None


class FlagStore(Protocol):
    """Every method raises `DatabaseUnavailable`, `FlagStoreUnavailable` and `FlagStoreRefuses`."""

    source: str
    """`file`, `database` or `launchdarkly`."""
    refusal: str | None
    """Why it may not be changed from here; None: it may."""

    async def held(self) -> Held:
        """What is there now, newer perhaps than what is in force here."""
        ...

    async def write(
        self,
        held: Held,
        document: Json,
        change: FlagChange,
        flips: Sequence[Flip],
        also: Also = nothing_else,
    ) -> FlagChange:
        """Replace what was held, with the entries of the ledger; the change as it is recorded.

        Raises `FlagVersionStale` when something else is held by now, `LedgerUnwritable`, `StageChangeRefused`.
        """
        ...

    async def changes(self, limit: int) -> list[FlagChange]:
        """The newest changes, the oldest of them first."""
        ...

    def version_of(self, flag: Json) -> str:
        """What the ledger calls the version of this flag, whoever sees it."""
        ...


class TableStore:
    """Rows of our schema: the change and its entries of the ledger are one transaction."""

    source = "database"
    refusal: str | None = None

    def __init__(self, database: Database, flag_key: str) -> None:
        self._db = database
        self._flag_key = flag_key

    async def held(self) -> Held:
        rows = await flag_table.newest_rows(self._db)
        if not rows:
            return Held(0, None)
        try:
            parse_document(rows[0].text, self._flag_key)
        except FlagFileInvalid as error:
            return Held(rows[0].version, None, f"version {rows[0].version} in the database is not valid: {error}")
        return Held(rows[0].version, json.loads(rows[0].text))

    async def write(
        self,
        held: Held,
        document: Json,
        change: FlagChange,
        flips: Sequence[Flip],
        also: Also = nothing_else,
    ) -> FlagChange:
        async with self._db.transaction() as connection:
            await flag_table.lock(connection)
            newest = await flag_table.newest_mark(connection)
            if (newest[0] if newest else 0) != held.version:
                raise FlagVersionStale
            done = await flag_table.add_version(connection, document, change, based_on=held.version)
            await also(connection)
            await append_all(connection, flips)
            return done

    async def changes(self, limit: int) -> list[FlagChange]:
        return await flag_table.changes(self._db, limit)

    def version_of(self, flag: Json) -> str:
        return str(flag["version"])


class FileStore:
    """A file of this host.

    `unrecorded`: it may be changed also while the database is away, as with any editor; gateways enter into the ledger
    what they see then.
    """

    source = "file"
    refusal: str | None = None

    def __init__(self, database: Database, file: FlagFile, *, unrecorded: bool = False) -> None:
        self._db = database
        self._file = file
        self._unrecorded = unrecorded

    async def held(self) -> Held:
        try:
            document = await asyncio.to_thread(self._file.document)
            flag = await asyncio.to_thread(self._file.read)
        except FlagFileInvalid as error:
            return Held(0, None, str(error))
        except OSError as error:
            raise FlagStoreUnavailable(_reason(error)) from error
        return Held(0 if flag is None else int(flag.get("version", 0)), document)

    async def write(
        self,
        held: Held,
        document: Json,
        change: FlagChange,
        flips: Sequence[Flip],
        also: Also = nothing_else,
    ) -> FlagChange:
        if not os.access(next(one for one in self._file.path.parents if one.exists()), os.W_OK):
            raise FlagStoreUnavailable(
                f"the flag file {self._file.path} is read-only here: let the gateway write to its directory"
            )
        try:
            async with recorded_first(self._db, flips, also):
                return await self._replace(held, document, change)
        except DatabaseUnavailable:
            if not self._unrecorded:
                raise
            return await self._replace(held, document, change)

    async def _replace(self, held: Held, document: Json, change: FlagChange) -> FlagChange:
        instead_of = None if held.problem is not None else held.document or {}
        try:
            return await asyncio.to_thread(self._file.replace, document, change, instead_of=instead_of)
        except FlagFileInvalid as error:
            raise StageChangeRefused(str(error)) from None
        except OSError as error:
            raise FlagStoreUnavailable(_reason(error)) from error

    async def changes(self, limit: int) -> list[FlagChange]:
        return (await asyncio.to_thread(self._file.history))[-limit:]

    def version_of(self, flag: Json) -> str:
        return content_version(flag["version"], {**flag, "key": self._file.flag_key})


def _reason(error: OSError) -> str:
    return f"{error.filename or 'flag file'}: {error.strerror or error}"
