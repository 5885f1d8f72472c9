"""What the server answers when it can do nothing for now, or gave up a statement, is no fault of who asked."""

from __future__ import annotations

import asyncpg
import pytest

from gateway.errors import DatabaseUnavailable, OutcomeUnknown
from gateway.storage import driver_errors
from gateway.storage.database import Database
from gateway.storage.driver_errors import is_outage
from gateway.storage.preflight import DatabaseUnfit, check_database

REFUSE = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{0}', MESSAGE = 'no: {0}'; END $$"
#: Refuses at the commit.
REFUSE_AT_END = """
CREATE TABLE written ();
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON written DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize(
    ("code", "others_fare_better"),
    [
        *(("28P01", False), ("53100", False), ("53200", True), ("53400", True)),
        *(("57014", True), ("58030", False), ("58P01", False)),
    ],
)
async def test_it_may_be_repeated(code: str, others_fare_better: bool, database: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as alone:
        await database.execute(REFUSE.format(code))
    with pytest.raises(DatabaseUnavailable) as within:
        async with database.transaction() as db:
            await db.execute(REFUSE.format(code))
    for raised in (alone.value, within.value):
        assert not isinstance(raised, OutcomeUnknown), "it was undone"
        assert is_outage(raised) is not others_fare_better


async def test_why_is_said_once_in_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(driver_errors, "_said_at", {})
    for code in ("53100", "53100", "58030"):
        with pytest.raises(DatabaseUnavailable):
            await database.execute(REFUSE.format(code))
    assert [record.getMessage() for record in caplog.records if record.name == driver_errors.__name__] == [
        "PostgreSQL does not do it: no: 53100",
        "PostgreSQL does not do it: no: 58030",
    ]


async def test_at_a_commit_nothing_was_done(database: Database) -> None:
    await database.execute(REFUSE_AT_END)
    with pytest.raises(DatabaseUnavailable) as raised:
        async with database.transaction() as db:
            await db.execute("INSERT INTO written DEFAULT VALUES")
    assert not isinstance(raised.value, OutcomeUnknown)
    assert await database.fetchval("SELECT count(*) FROM written") == 0


async def test_what_a_statement_is_refused_for_itself_stays_what_it_is(database: Database) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as raised:
        await database.execute(REFUSE.format("23514"))
    assert not is_outage(raised.value)


async def test_at_start_up_a_user_that_is_refused_is_named(database_url: str) -> None:
    with pytest.raises(DatabaseUnfit, match=r"the database refuses the user: .*nobody_here.*TASKGATE_DATABASE_URL"):
        await check_database(database_url.replace("postgres@", "nobody_here@", 1))
