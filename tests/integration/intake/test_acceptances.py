"""Acceptances of the same moment share a transaction, and fail alone."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.submission.batch_writer import Acceptances

ONE = "INSERT INTO task_logs (id, group_id, task_type, status) VALUES ($1, 'g', 'probe', 'PENDING')"
MANY = "INSERT INTO task_logs (id, group_id, task_type, status) SELECT unnest($1::text[]), 'g', 'probe', 'PENDING'"


async def test_many_at_once_are_all_committed(database: Database) -> None:
    acceptances = Acceptances(database, one=ONE, many=MANY)
    await asyncio.gather(*(acceptances.add((f"t{n}",)) for n in range(350)))
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 350
    transactions = await database.fetchval("SELECT count(DISTINCT xmin::text) FROM task_logs")
    assert transactions < 20


async def test_a_refused_row_fails_alone(database: Database) -> None:
    acceptances = Acceptances(database, one=ONE, many=MANY)
    await acceptances.add(("taken",))
    answers = await asyncio.gather(*(acceptances.add((i,)) for i in ("a", "taken", "b")), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), asyncpg.UniqueViolationError, type(None)]
    assert await database.fetchval("SELECT count(*) FROM task_logs") == 3


async def test_without_a_database_each_is_told() -> None:
    acceptances = Acceptances(Database("postgresql://postgres@127.0.0.1:1/none"), one=ONE, many=MANY)
    answers = await asyncio.gather(*(acceptances.add((str(n),)) for n in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 3


async def test_a_client_that_leaves_does_not_disturb_the_others(database: Database) -> None:
    acceptances = Acceptances(database, one=ONE, many=MANY)
    leaving, staying = (asyncio.create_task(acceptances.add((name,))) for name in ("leaves", "stays"))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
