"""What somebody with a superuser's hands did to the ledger is found, and named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date

import asyncpg
import pytest

from gateway.migration.ledger.verification import Break, expire, verify
from gateway.migration.ledger.writer import Flip, append
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.storage.schema.statements import read, split

TAMPERED = {
    "a text was changed": (
        "UPDATE taskgate.ledger SET who = 'mallory' WHERE id = 3",
        [Break(3, "its text is not what was written")],
    ),
    "evidence was changed": (
        "UPDATE taskgate.ledger SET evidence = '{}' WHERE id = 3",
        [Break(3, "its text is not what was written")],
    ),
    "a time was changed": (
        "UPDATE taskgate.ledger SET at = at - interval '1 microsecond' WHERE id = 5",
        [Break(5, "its text is not what was written")],
    ),
    "an entry is gone": ("DELETE FROM taskgate.ledger WHERE id = 2", [Break(3, "entry 2 is gone from before it")]),
    "the first entries are gone": (
        "DELETE FROM taskgate.ledger WHERE id < 3",
        [Break(3, "entries 1 to 2 are gone from before it")],
    ),
    "the last entries are gone": (
        "DELETE FROM taskgate.ledger WHERE id > 3",
        [Break(4, "entries 4 to 5 are gone from the end")],
    ),
    "an entry was replaced by another that follows": (
        "UPDATE taskgate.ledger SET previous_hash = hash, hash = previous_hash WHERE id = 3",
        [
            Break(3, "it does not follow the entry before it: one of the two was put in, or replaced"),
            Break(3, "its text is not what was written"),
            Break(4, "it does not follow the entry before it: one of the two was put in, or replaced"),
        ],
    ),
    "an entry was put in at the end": (
        "INSERT INTO taskgate.ledger SELECT id + 1, at, kind, source, scope, before, after, 'mallory', why, version,"
        " evidence, hash, hash FROM taskgate.ledger WHERE id = 5",
        [Break(6, "its text is not what was written")],
    ),
}


@pytest.fixture
def add(database: Database) -> Callable[..., Awaitable[None]]:
    """Entries, each of another scope."""

    async def add(count: int) -> None:
        for number in range(count):
            async with database.transaction() as db:
                flip = Flip("file", f"tenant:t{number}", None, Stage.LIVE, "ada", "Größe, 規模", "7", {"n": number})
                await append(db, flip)

    return add


async def test_an_untouched_ledger_is_sound(
    database: Database, add: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await verify(database)).breaks == []
    monkeypatch.setattr("gateway.migration.ledger.verification.TOGETHER", 2)
    await add(5)
    verdict = await verify(database)
    last = await database.fetchval("SELECT encode(hash, 'hex') FROM taskgate.ledger WHERE id = 5")
    assert (verdict.entries, verdict.last_id, verdict.last_hash, verdict.breaks) == (5, 5, last, [])


@pytest.mark.parametrize("done", TAMPERED)
async def test_what_was_done_is_named(database: Database, add: Callable[..., Awaitable[None]], done: str) -> None:
    statement, breaks = TAMPERED[done]
    await add(5)
    await database.execute(statement)
    assert (await verify(database)).breaks == breaks


async def test_expired_months_leave_their_closing_hash(
    database: Database, add: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in ("2026-01-15T00:00:00Z", "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z"):
        monkeypatch.setattr(
            "gateway.audit.writer.SQL.head",
            "SELECT COALESCE(max(id), 0) AS id, (SELECT hash FROM taskgate.ledger ORDER BY id DESC LIMIT 1) AS hash,"
            f" '{moment}'::timestamptz AS now FROM taskgate.ledger",
            raising=False,
        )
        await add(1)
    monkeypatch.undo()
    closing = await database.fetchval("SELECT hash FROM taskgate.ledger WHERE id = 2")
    assert await expire(database, date(2026, 2, 1)) == [date(2026, 1, 1)]
    assert await expire(database, date(2026, 2, 1)) == []
    [month] = await database.fetch("SELECT * FROM taskgate.ledger_month")
    assert (month["first_id"], month["last_id"], month["closing_hash"]) == (1, 2, closing)
    verdict = await verify(database)
    assert (verdict.entries, verdict.expired_months, verdict.breaks) == (1, 1, [])

    # All of it, and the chain goes on behind.
    assert await expire(database, date(9999, 1, 1)) == [date(2026, 2, 1)]
    await add(1)
    verdict = await verify(database)
    assert (verdict.entries, verdict.last_id, verdict.expired_months, verdict.breaks) == (1, 4, 2, [])
    await database.execute("UPDATE taskgate.ledger_month SET closing_hash = opening_hash WHERE month = '2026-01-01'")
    assert (await verify(database)).breaks == [Break(3, "the expired month 2026-02 does not follow the one before")]


async def test_the_present_month_does_not_expire(database: Database, add: Callable[..., Awaitable[None]]) -> None:
    await add(1)
    assert await expire(database, date(9999, 1, 1)) == []


async def test_the_migration_leaves_others_the_right_to_append_and_no_more(
    database: Database,
) -> None:
    """Whatever rights were given to them by default."""
    await database.execute("CREATE ROLE clerk")
    try:
        await database.execute("GRANT USAGE ON SCHEMA taskgate TO clerk")
        await database.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA taskgate TO clerk")
        await database.execute(split(read("0075_ledger.sql"))[-1])
        async with database.transaction() as db:
            await db.execute("SET LOCAL ROLE clerk")
            assert await append(db, Flip("file", "default", Stage.OFF, Stage.LIVE, "ada", "move")) == 1
        for statement in (
            "UPDATE taskgate.ledger SET who = 'mallory'",
            "DELETE FROM taskgate.ledger",
            "TRUNCATE taskgate.ledger",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await _as_clerk(database, statement)
    finally:
        await database.execute("DROP OWNED BY clerk; DROP ROLE clerk")


async def _as_clerk(database: Database, statement: str) -> None:
    async with database.transaction() as db:
        await db.execute("SET LOCAL ROLE clerk")
        await db.execute(statement)
