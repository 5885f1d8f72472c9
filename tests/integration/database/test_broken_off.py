"""Migrations that are broken off after any of their statements outside of transactions, and run again."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from gateway.storage.schema import lock_waits, statements
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.storage.schema.revisions import known_revisions

#: Everything that migrations make, a line each.
SCHEMA = """
SELECT format('index %s valid=%s %s', pg_get_indexdef(indexrelid), indisvalid, reloptions)
FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace::regnamespace::text IN ('public', 'taskgate')
UNION ALL
SELECT format('column %s.%s %s not null=%s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod),
              attnotnull, pg_get_expr(adbin, adrelid))
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace::regnamespace::text IN ('public', 'taskgate') AND attnum > 0 AND NOT attisdropped AND relkind <> 'i'
UNION ALL
SELECT format('relation %s %s %s', oid::regclass, relkind, reloptions)
FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'taskgate') AND relkind <> 'i'
UNION ALL
SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace::regnamespace::text IN ('public', 'taskgate')
UNION ALL
SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT format('function %s %s', oid::regprocedure, prosrc)
FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'taskgate')
"""
MADE = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)\s+ON (taskgate\.)?")
#: The revision before the one that makes again what earlier releases may have left out.
BEFORE_AGAIN = "0331_undoes"
#: A session's lock outlives the failure of the statement that took it.
DEADLOCK_ONCE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 4711) THEN
        PERFORM pg_advisory_lock(4711);
        RAISE deadlock_detected;
    END IF;
END $$
"""
#: As a build leaves it that was broken off.
SPOIL = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::regclass"


@asynccontextmanager
async def blank(server: str) -> AsyncIterator[str]:
    """A database with MemStack's tables alone."""
    name = f"broken_off_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(server)
    await admin.execute(f'CREATE DATABASE "{name}"')
    url = f"{server.rpartition('/')[0]}/{name}"
    try:
        await create_legacy_tables(url)
        yield url
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def schema(url: str) -> list[str]:
    async with connected(url) as connection:
        return sorted([line for (line,) in await connection.fetch(SCHEMA)])


def files_outside() -> list[tuple[str, str]]:
    """Each migration with a file that runs outside of transactions, in their order, and that file."""
    return [
        (revision, name)
        for revision in known_revisions()
        for name in re.findall(r"\w+\.autocommit\.sql", statements.read(f"{revision}.py"))
    ]


async def test_each_is_broken_off_after_each_statement(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    split = statements.split
    async with blank(postgres_server) as url, blank(postgres_server) as other:
        for revision, name in files_outside():
            text = statements.read(name)
            parts = split(text)
            for done in range(len(parts) + 1):

                def broken_off(found: str, text: str = text, done: int = done) -> list[str]:
                    return [*split(found)[:done], "SELECT 1 / 0"] if found == text else split(found)

                monkeypatch.setattr(statements, "split", broken_off)
                with pytest.raises(DBAPIError, match="division by zero"):
                    await migrate(url, revision)
                if done and (made := MADE.match(parts[done - 1])):
                    async with connected(url) as connection:
                        assert await connection.execute(SPOIL, f"{made[2] or ''}{made[1]}") == "UPDATE 1"
            monkeypatch.setattr(statements, "split", split)
            assert await migrate(url, revision) == revision
        assert await migrate(url) == await migrate(other)
        assert await schema(url) == await schema(other)


async def test_a_deadlock_outside_of_transactions(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As that of two who build indexes: the statement is made again, and nothing before it."""
    monkeypatch.setattr(lock_waits, "FIRST_PAUSE", 0.0)
    split = statements.split
    text = statements.read("0300_ascending.autocommit.sql")

    def with_deadlock(found: str) -> list[str]:
        parts = split(found)
        return [*parts[:2], DEADLOCK_ONCE, *parts[2:]] if found == text else parts

    monkeypatch.setattr(statements, "split", with_deadlock)
    async with blank(postgres_server) as url, blank(postgres_server) as other:
        assert await migrate(url) == await migrate(other)
        assert await schema(url) == await schema(other)
    said = [record for record in caplog.records if "waits for a lock" in record.getMessage()]
    assert len(said) == 2


async def test_indexes_that_earlier_releases_took_for_made(postgres_server: str) -> None:
    """They left the remains of a broken-off build as they were, or dropped those of others."""
    async with blank(postgres_server) as url, blank(postgres_server) as other:
        await migrate(url, BEFORE_AGAIN)
        async with connected(url) as connection:
            for index in ("taskgate_legacy_owner_status", "taskgate_foreign_recent", "taskgate.dispatch_labels"):
                assert await connection.execute(SPOIL, index) == "UPDATE 1"
            await connection.execute("DROP INDEX taskgate_legacy_owner_type, taskgate_foreign_open")
        assert await migrate(url) == await migrate(other)
        assert await schema(url) == await schema(other)
