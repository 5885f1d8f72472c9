"""A handler comes to its end while PostgreSQL is down: once that is back, the task is completed, in the same attempt.

With the default lease. Workers hear nothing of the outage but that nothing can be written.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.world import TRUTH
from deploy.local.stack import EmbeddedStack
from gateway.tasks.queries.task_row import Status

pytestmark = pytest.mark.parametrize("backend", ["redis", "temporal"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def own_database(postgres: EmbeddedStack) -> str:
    return postgres.database_url


@pytest.fixture(scope="module")
def lease_seconds() -> float:
    return 15.0


async def clock(postgres: EmbeddedStack) -> datetime:
    """Now, as the server has it that stamps the rows."""
    connection = await asyncpg.connect(postgres.database_url)
    try:
        now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    finally:
        await connection.close()
    return now


async def test_its_result_is_there_when_postgresql_is(fleet: Any, postgres: EmbeddedStack, tmp_path: Path) -> None:
    word = tmp_path / "word"
    # Of one the end is to be written, of the other its last report, and then its end.
    ended = await fleet.submit("wait_for_word", word=str(word), result={"n": 1})
    reports = await fleet.submit("wait_for_word", word=str(word), last_result={"n": 2})
    await fleet.noted(ended, "start", "reported")
    await fleet.started(reports)
    server = postgres.part("postgres")
    await server.kill()
    word.touch()
    await fleet.noted(ended, "start", "reported", "end")
    await fleet.noted(reports, "start", "heard")
    await server.start()
    back = await clock(postgres)
    for task_id, result in ((ended, '{"n":1}'), (reports, '{"n":2}')):
        row = await fleet.ended(task_id)
        assert (row.status, row.result) == (Status.COMPLETED, result)
        assert row.completed_at - back < TRUTH
        assert len(fleet.starts(task_id)) == 1
        assert await fleet.attempts(task_id) == ["completed"]
