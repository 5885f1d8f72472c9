"""Acceptances of the same moment share transactions, and none is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from gateway.storage.database import Database
from gateway.submission.batch_writer import AT_ONCE, Acceptances


class Disk:
    """A database whose commits end when they are told to."""

    def __init__(self) -> None:
        self.commits: list[asyncio.Future[None]] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Disk]:
        yield self

    async def execute(self, _statement: str, *_row: Any) -> None:
        commit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.commits.append(commit)
        await commit


async def until(disk: Disk, commits: int) -> None:
    async with asyncio.timeout(5):
        while len(disk.commits) < commits:
            await asyncio.sleep(0)


async def test_a_row_that_comes_as_the_last_writers_end_is_written() -> None:
    disk = Disk()
    acceptances = Acceptances(cast(Database, disk), "statement")
    first = []
    for number in range(AT_ONCE):
        first.append(asyncio.create_task(acceptances.add((number,))))
        await until(disk, number + 1)
    # The writers hear of their commits, and end, in the same round of the loop in which the next row comes.
    for commit in disk.commits:
        commit.set_result(None)
    late = asyncio.create_task(acceptances.add(("late",)))
    await asyncio.gather(*first)
    await until(disk, AT_ONCE + 1)
    disk.commits[-1].set_result(None)
    await late
