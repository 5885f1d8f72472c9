"""Whether the ledger is as it was written: each hash, each link, no entry gone. And the end of old months."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

import asyncpg

from gateway.audit.chain import GENESIS_HASH, Entry, hash_of
from gateway.audit.writer import lock
from gateway.migration.ledger.explanation import SQL
from gateway.storage.database import Database

#: Entries that are looked at together.
TOGETHER = 1000
#: More breaks are not listed.
MOST_BREAKS = 100


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain does not hold."""

    entry_id: int
    problem: str


@dataclass(slots=True)
class Verdict:
    """What was found. `last_hash`: compare it with one that you wrote down elsewhere."""

    entries: int = 0
    expired_months: int = 0
    last_id: int = 0
    last_hash: str = GENESIS_HASH.hex()
    breaks: list[Break] = field(default_factory=list)


async def verify(database: Database) -> Verdict:
    """Look at the whole ledger. Raises `DatabaseUnavailable`."""
    verdict, chain = Verdict(), _Chain()
    months = await database.fetch(SQL.expired_months)
    verdict.expired_months = len(months)
    verdict.breaks += chain.follow_months(months)
    while rows := await database.fetch(SQL.chain, chain.last_id, TOGETHER):
        verdict.breaks += await asyncio.to_thread(chain.follow, rows)
        verdict.entries += len(rows)
    named = await database.fetchval(SQL.last_named)
    if named is not None and named > chain.last_id:
        verdict.breaks.append(Break(chain.last_id + 1, f"{_gone(chain.last_id + 1, named)} gone from the end"))
    del verdict.breaks[MOST_BREAKS:]
    verdict.last_id, verdict.last_hash = chain.last_id, chain.hash.hex()
    return verdict


async def expire(database: Database, before: date) -> list[date]:
    """Delete whole months before this day, but for the present one; each leaves its closing hash. The months.

    Needs the rights of the ledger's owner. Raises `DatabaseUnavailable`, and what PostgreSQL says of missing rights.
    """
    async with database.transaction() as db:
        await lock(db)
        months = await db.fetch(SQL.months_before, before)
        for row in months:
            await db.execute(SQL.expire_month, row["month"], row["first_id"], row["last_id"])
    return [row["month"] for row in months]


class _Chain:
    """What was followed so far."""

    def __init__(self) -> None:
        self.last_id = 0
        self.hash = GENESIS_HASH

    def follow_months(self, months: Sequence[asyncpg.Record]) -> Iterator[Break]:
        for row in months:
            if row["first_id"] != self.last_id + 1 or row["opening_hash"] != self.hash:
                yield Break(row["first_id"], f"the expired month {row['month']:%Y-%m} does not follow the one before")
            self.last_id, self.hash = row["last_id"], row["closing_hash"]

    def follow(self, rows: Sequence[asyncpg.Record]) -> list[Break]:
        return list(self._follow(rows))

    def _follow(self, rows: Sequence[asyncpg.Record]) -> Iterator[Break]:
        for row in rows:
            entry_id, entry = row["id"], Entry(*(row[field.name] for field in fields(Entry)))
            if entry_id != self.last_id + 1:
                yield Break(entry_id, f"{_gone(self.last_id + 1, entry_id - 1)} gone from before it")
            elif row["previous_hash"] != self.hash:
                yield Break(entry_id, "it does not follow the entry before it: one of the two was put in, or replaced")
            if row["hash"] != hash_of(row["previous_hash"], entry_id, row["at"], entry):
                yield Break(entry_id, "its text is not what was written")
            self.last_id, self.hash = entry_id, row["hash"]


def _gone(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


def document(verdict: Verdict) -> dict[str, Any]:
    """As it is answered."""
    return {
        "entries": verdict.entries,
        "expired_months": verdict.expired_months,
        "last_id": verdict.last_id,
        "last_hash": verdict.last_hash,
        "is_sound": not verdict.breaks,
        "breaks": [{"entry_id": one.entry_id, "problem": one.problem} for one in verdict.breaks],
    }
