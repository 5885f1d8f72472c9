"""What a caller's own code raises between its statements is no fault of the database; what a statement raises is."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.driver_errors import is_outage


@pytest.mark.parametrize("own", [TimeoutError("own"), ConnectionResetError("own"), FileNotFoundError("own")], ids=repr)
async def test_a_callers_own_error_stays_what_it_is(database: Database, own: OSError) -> None:
    async def change() -> None:
        async with database.transaction() as db:
            await db.execute("CREATE TABLE left_behind ()")
            raise own

    with pytest.raises(type(own)) as raised:
        await change()
    assert raised.value is own
    assert await database.fetchval("SELECT to_regclass('left_behind')") is None


async def test_a_callers_own_limit_of_time_too(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with database.transaction() as db, asyncio.timeout(0.05):
            await db.execute("SELECT pg_sleep(10)")
    assert await database.fetchval("SELECT 1") == 1


async def test_the_limit_of_a_statement_is_the_databases(database_url: str) -> None:
    database = Database(database_url, statement_timeout=0.1)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable) as alone:
            await database.execute("SELECT pg_sleep(10)")
        with pytest.raises(DatabaseUnavailable) as within:
            async with database.transaction() as db:
                await db.execute("SELECT pg_sleep(10)")
        with pytest.raises(DatabaseUnavailable) as open_still:
            async with database.acquire() as db:
                await db.execute("BEGIN; SELECT pg_sleep(10)")
        for raised in (alone.value, within.value, open_still.value):
            assert not is_outage(raised), "the server answers: other statements fare better"
            assert "longer than 0.1 s" in str(raised.__cause__)
    await database.close()
