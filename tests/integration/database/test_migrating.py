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
from gateway.storage.preflight import DatabaseUnfit, check_database
from gateway.storage.schema import lock_waits as module
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.storage.schema.revisions import known_revisions
from workers.testing.waiting import eventually

#: The revision before the one that changes the table of processes.
BEFORE = "0310_vacuum"
#: As a release before `0331_undoes` writes an entry: what it takes back stands in its reason.
ENTRY = """
INSERT INTO taskgate.ledger (id, at, kind, source, scope, before, after, who, why, version, evidence, previous_hash,
                             hash)
SELECT COALESCE(max(id), 0) + 1, now(), 'flip', $1, $2, $3, $4, 'ada', $5, $6, '{}', '', '' FROM taskgate.ledger
"""
WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'taskgate migrate' AND datname = current_database() AND wait_event_type = 'Lock'
"""
RENEWAL = "UPDATE taskgate.process SET renewed_at = now() RETURNING true"
REGISTERED = """
INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)
VALUES ('g1', 'gateway', 'here', 1, '0', 1)
"""


#: The revision before one that changes rows outside of a transaction.
BEFORE_INDEXES = "0180_phase"
#: The revision before keys of users without a tenant are each user's own; a task with a key.
BEFORE_OWNERS = "0332_indexes_again"
KEYED = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, user_id, state, unique_key)
VALUES ($1, 'g', 't', $2, 'waiting', 'k')
"""


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
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    caplog.set_level(logging.WARNING, module.__name__)
    lock = "LOCK TABLE taskgate.dispatch IN SHARE MODE"
    async with old.transaction() as holder:
        await holder.execute(lock)
        migrating = asyncio.create_task(migrate(str(old.url)))
        try:
            await eventually(lambda: old.fetchval(WAITS))
            async with asyncio.timeout(2), old.transaction() as other:
                await other.execute(lock)  # behind the migration, which waits to write
            await eventually(lambda: said(caplog), bool)
            assert not migrating.done()
        except BaseException:
            migrating.cancel()
            raise
    async with asyncio.timeout(20):
        assert await migrating == known_revisions()[-1]
    assert (await said(caplog))[0].startswith("the migration waits for a lock (DO $$")


async def test_entries_that_took_others_back_name_them_also_those_that_the_release_before_writes(old: Database) -> None:
    acme, listed = ("launchdarkly", "tenant:acme"), ("launchdarkly", "several")
    one = [*acme, None, "live", "pilot", "5"], [*acme, "live", None, "not made: it is full", "5"]
    more = [*listed, None, None, "wave", "6"], [*listed, None, None, "not made: it is away", "6"]
    hand = ("override", "tenant:acme")
    by_hand = [*hand, "off", "live", "w", "7"], [*hand, "live", "off", "not made: to last", "7"]
    for row in (*one, *one, *more, *by_hand):
        await old.execute(ENTRY, *row)
    await migrate(str(old.url))
    found = await old.fetch("SELECT id, undoes FROM taskgate.ledger WHERE undoes IS NOT NULL ORDER BY id")
    assert [tuple(row) for row in found] == [(2, 1), (4, 3), (6, 5)]
    for row in one:
        await old.execute(ENTRY, *row)
    assert await old.fetchval("SELECT undoes FROM taskgate.ledger WHERE id = 10") == 9


@pytest.mark.parametrize("old", [BEFORE_OWNERS], indirect=True)
async def test_a_taken_key_is_refused_by_the_index_that_gateways_know(
    old: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while the index of the release before cannot go because of a backup."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    caplog.set_level(logging.WARNING, module.__name__)

    async def refusing(user: str) -> str:
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await old.execute(KEYED, "again", user)
        return str(refused.value.constraint_name)

    await old.execute(KEYED, "anns", "ann")
    assert await refusing("bob") == "dispatch_unique_key"
    async with old.transaction() as backup:
        await backup.execute("LOCK TABLE taskgate.dispatch IN ACCESS SHARE MODE")
        migrating = asyncio.create_task(migrate(str(old.url)))
        try:
            await eventually(lambda: said(caplog), bool)
            assert await refusing("ann") == await refusing("bob") == "dispatch_unique_key"
        except BaseException:
            migrating.cancel()
            raise
    async with asyncio.timeout(20):
        assert await migrating == known_revisions()[-1]
    assert await refusing("ann") == "dispatch_unique_key"
    await old.execute(KEYED, "bobs", "bob")
    assert await refusing("bob") == "dispatch_unique_key"


async def test_a_deadlock_is_a_lock_that_was_not_to_be_had(
    old: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    # Sooner than it gives up waiting: it is the migration's session that finds it.
    name = await old.fetchval("SELECT current_database()")
    await old.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '400ms'")
    await old.execute(REGISTERED)
    await migrate(str(old.url), "0320_worker_drain")  # the next one locks the ledger, and then the processes
    async with old.transaction() as other:
        await other.execute("SET LOCAL deadlock_timeout = '60s'")
        await other.execute(RENEWAL)
        migrating = asyncio.create_task(migrate(str(old.url)))
        try:
            await eventually(lambda: old.fetchval(WAITS))
            await other.execute("LOCK TABLE taskgate.ledger IN ROW EXCLUSIVE MODE")
        except BaseException:
            migrating.cancel()
            raise
    async with asyncio.timeout(20):
        assert await migrating == known_revisions()[-1]


async def test_a_schema_of_a_later_release_stays_as_it_is(old: Database, caplog: pytest.LogCaptureFixture) -> None:
    await old.execute("UPDATE taskgate.alembic_version SET version_num = '9999_later'")
    assert await migrate(str(old.url)) == "9999_later"
    assert "the schema is at 9999_later, of a later release: nothing to do" in caplog.messages
    assert await old.fetchval("SELECT version_num FROM taskgate.alembic_version") == "9999_later"


async def test_nobody_starts_on_a_schema_that_is_behind(old: Database) -> None:
    behind = len(known_revisions()) - 1 - known_revisions().index(BEFORE)
    with pytest.raises(DatabaseUnfit, match=f"is {behind} migrations behind, at {BEFORE}: run `taskgate db migrate`"):
        await check_database(str(old.url))
    await migrate(str(old.url))
    await check_database(str(old.url))
    await old.execute("UPDATE taskgate.alembic_version SET version_num = '9999_later'")
    await check_database(str(old.url))


async def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "waits for a lock" in record.getMessage()]
