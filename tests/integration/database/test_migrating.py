"""A migration beside others who use the tables: it waits for them, and nobody waits behind it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from gateway.storage.database import Database
from gateway.storage.schema import lock_waits as module
from gateway.storage.schema.migrate import create_legacy_tables, known_revisions, migrate
from workers.testing.waiting import eventually

#: The revision before the one that changes the table of processes.
BEFORE = "0310_vacuum"
WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'taskgate migrate' AND datname = current_database() AND wait_event_type = 'Lock'
"""
RENEWAL = "UPDATE taskgate.process SET renewed_at = now() RETURNING true"
REGISTERED = """
INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)
VALUES ('g1', 'gateway', 'here', 1, '0', 1)
"""


#: The revision before one that makes indexes outside of a transaction.
BEFORE_INDEXES = "0280_mark"


@pytest_asyncio.fixture
async def old(request: pytest.FixtureRequest, postgres_server: str) -> AsyncIterator[Database]:
    """A database at the revision `BEFORE`, or at the one that the test names."""
    revision = getattr(request, "param", BEFORE)
    name = f"old_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_server)
    await admin.execute(f'CREATE DATABASE "{name}"')
    database = Database(f"{postgres_server.rpartition('/')[0]}/{name}")
    try:
        await create_legacy_tables(str(database.url))
        assert await migrate(str(database.url), revision) == revision
        yield database
    finally:
        await database.close()
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def test_behind_a_backup_it_lets_others_pass(
    old: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    caplog.set_level(logging.WARNING, module.__name__)
    await old.execute(REGISTERED)
    async with old.transaction() as backup:
        await backup.execute("SET LOCAL application_name = 'pg_dump'")
        await backup.fetch("SELECT 1 FROM taskgate.process")
        migrating = asyncio.create_task(migrate(str(old.url)))
        try:
            await eventually(lambda: old.fetchval(WAITS))
            async with asyncio.timeout(2):  # as long as a lease waits for it
                assert await old.fetchval(RENEWAL)
            await eventually(lambda: said(caplog), bool)
            assert not migrating.done()
        except BaseException:
            migrating.cancel()
            raise
    async with asyncio.timeout(20):
        assert await migrating == known_revisions()[-1]
    [line, *_] = await said(caplog)
    assert line.startswith("the migration waits for a lock (ALTER TABLE taskgate.process ADD COLUMN drain_at")
    assert "the oldest transaction there is that of pg_dump (pid " in line


@pytest.mark.parametrize("old", [BEFORE_INDEXES], indirect=True)
async def test_outside_of_a_transaction_it_lets_others_pass_too(
    old: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An index that an earlier, broken-off run left behind is dropped, for which nobody may read the table."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    caplog.set_level(logging.WARNING, module.__name__)
    await old.execute("CREATE INDEX ascending_left ON taskgate.dispatch (created_at)")
    await old.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'taskgate.ascending_left'::regclass")
    async with old.transaction() as backup:
        await backup.fetch("SELECT 1 FROM taskgate.dispatch")
        migrating = asyncio.create_task(migrate(str(old.url)))
        try:
            await eventually(lambda: old.fetchval(WAITS))
            async with asyncio.timeout(2):
                await old.fetch("SELECT 1 FROM taskgate.dispatch")
            await eventually(lambda: said(caplog), bool)
            assert not migrating.done()
        except BaseException:
            migrating.cancel()
            raise
    async with asyncio.timeout(20):
        assert await migrating == known_revisions()[-1]
    assert await old.fetchval("SELECT to_regclass('taskgate.ascending_left')") is None
    assert (await said(caplog))[0].startswith("the migration waits for a lock (DO $$")


async def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "waits for a lock" in record.getMessage()]
