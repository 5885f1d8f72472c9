"""Acceptances of the same moment share transactions, and none is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from gateway.storage.database import Database
from gateway.submission.batch_writer import WRITERS, Acceptances
from workers.testing.waiting import until


class Disk:
    """A database whose commits end when they are told to."""

    def __init__(self) -> None:
        self.commits: list[asyncio.Future[None]] = []
        self.rows: list[int] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Disk]:
        yield self

    async def execute(self, statement: str, *given: Any) -> None:
        self.rows.append(1 if statement == "one" else len(given[0]))
        commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.commits.append(commit)
        await commit


async def test_a_row_that_comes_as_the_last_writer_ends_is_written() -> None:
    disk = Disk()
    acceptances = Acceptances(cast(Database, disk), one="one", many="many")
    first = asyncio.create_task(acceptances.add(("first",)))
    await until(lambda: len(disk.commits) >= 1)
    # The writer hears of its commit, and ends, in the same round of the loop in which the next row comes.
    disk.commits[0].set_result(None)
    late = asyncio.create_task(acceptances.add(("late",)))
    await first
    await until(lambda: len(disk.commits) >= 2)
    disk.commits[1].set_result(None)
    await late


async def test_rows_that_come_while_all_writers_are_busy_share_the_next_commit() -> None:
    disk = Disk()
    acceptances = Acceptances(cast(Database, disk), one="one", many="many")
    busy = []
    for number in range(WRITERS):
        busy.append(asyncio.create_task(acceptances.add((number,))))
        await until(lambda number=number: len(disk.commits) > number)  # type: ignore[misc]
    rest = [asyncio.create_task(acceptances.add((number,))) for number in range(5)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert disk.rows == [1] * WRITERS
    disk.commits[-1].set_result(None)
    await until(lambda: len(disk.commits) > WRITERS)
    for commit in (*disk.commits[:-2], disk.commits[-1]):
        commit.set_result(None)
    await asyncio.gather(*busy, *rest)
    assert disk.rows == [1] * WRITERS + [5]
