"""The flag's data in rows of our schema: read, and changed by adding a version (`taskgate.flag_version`)."""

from __future__ import annotations

import json
from dataclasses import dataclass

import asyncpg

from gateway.routing.flag_document import Json
from gateway.routing.flag_file import FlagChange
from gateway.routing.overrides import SQL, Executor

#: How many versions are kept, each with the whole document (some hundred kilobytes for ten thousand tenants).
KEPT_VERSIONS = 500


@dataclass(frozen=True, slots=True)
class FlagRow:
    """One version. `mark` is another one after a change by hand; `text` is the document as JSON."""

    version: int
    mark: str
    text: str


async def newest_mark(db: Executor) -> tuple[int, str] | None:
    """Version and mark of the newest row; None without any."""
    row = await db.fetchrow(SQL.newest_flag_mark)
    return None if row is None else (row["version"], row["mark"])


async def newest_rows(db: Executor, limit: int = 1) -> list[FlagRow]:
    """The newest versions, the newest first."""
    rows = await db.fetch(SQL.newest_flags, limit)
    return [FlagRow(row["version"], row["mark"], row["document"]) for row in rows]


async def lock(db: Executor) -> None:
    """Until the end of the transaction nobody else who asks may change the flag."""
    await db.fetchrow(SQL.lock_flags)


async def add_version(db: Executor, document: Json, change: FlagChange, *, based_on: int) -> FlagChange:
    """Add the version that the change names, and drop those that are too old; the change, at the database's time."""
    row = await db.fetchrow(
        SQL.add_flag_version,
        change.version,
        based_on,
        json.dumps(document, ensure_ascii=False),
        change.what,
        change.before,
        change.after,
        change.who,
        change.why,
    )
    assert row is not None
    await db.fetch(SQL.drop_old_flag_versions, change.version, KEPT_VERSIONS)
    return FlagChange(
        row["at"].isoformat(timespec="milliseconds"),
        change.who,
        change.what,
        change.before,
        change.after,
        change.why,
        change.version,
    )


async def changes(db: Executor, limit: int) -> list[FlagChange]:
    """The newest changes, the oldest of them first."""
    return [_change(row) for row in reversed(await db.fetch(SQL.flag_changes, limit))]


def _change(row: asyncpg.Record) -> FlagChange:
    return FlagChange(**{**row, "at": row["at"].isoformat(timespec="milliseconds")})
