from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from gateway.audit.errors import LedgerUnwritable
from gateway.migration.ledger.writer import Flip, append
from gateway.routing.stages import Stage
from gateway.storage.database import Database

TO_LIVE = Flip("database", "tenant:acme", Stage.OFF, Stage.LIVE, "ada", "first move", "7", {"ticket": "M-1"})


async def rows(database: Database) -> Sequence[asyncpg.Record]:
    return await database.fetch("SELECT * FROM taskgate.ledger ORDER BY id")


async def test_an_entry_is_part_of_the_transaction_of_its_change(database: Database) -> None:
    async with database.transaction() as db:
        number = await append(db, TO_LIVE)
    assert number == 1
    (row,) = await rows(database)
    said = {name: row[name] for name in ("kind", "source", "scope", "before", "after", "who", "why", "version")}
    assert said == {
        "kind": "flip",
        "source": "database",
        "scope": "tenant:acme",
        "before": "off",
        "after": "live",
        "who": "ada",
        "why": "first move",
        "version": "7",
    }
    assert row["evidence"] == '{"ticket": "M-1"}'

    async def fail() -> None:
        async with database.transaction() as db:
            assert await append(db, TO_LIVE) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert [row["id"] for row in await rows(database)] == [1]


async def test_writers_at_once_make_one_chain(database: Database) -> None:
    async def write(number: int) -> int:
        async with database.transaction() as db:
            return await append(db, Flip("override", f"tenant:t{number}", None, Stage.OFF, "ada", "stop"))

    ids = await asyncio.gather(*(write(number) for number in range(20)))
    assert sorted(ids) == list(range(1, 21))
    entries = await rows(database)
    assert [row["previous_hash"] for row in entries] == [bytes(32), *(row["hash"] for row in entries[:-1])]
    assert [row["at"] for row in entries] == sorted(row["at"] for row in entries)


async def test_what_cannot_be_written_refuses_the_change(database: Database) -> None:
    """The transaction of the change is rolled back with it."""

    async def change() -> Any:
        async with database.transaction() as db:
            await db.execute(
                "INSERT INTO taskgate.route_override (tenant_id, stage, why, set_by) VALUES ('acme', 'off', 'x', 'ada')"
            )
            await append(db, TO_LIVE)

    await database.execute("ALTER TABLE taskgate.ledger ADD CONSTRAINT full_disk CHECK (id < 0)")
    with pytest.raises(LedgerUnwritable, match="the change is refused"):
        await change()
    assert await database.fetchval("SELECT count(*) FROM taskgate.route_override") == 0
