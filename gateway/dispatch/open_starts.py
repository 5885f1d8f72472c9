"""Starts that this process has begun and whose outcome is not yet written. It owns them, and nobody repeats them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import asyncpg

from backends.port import WorkflowRef
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.submission.start_plan import REPEAT_SECONDS

log = logging.getLogger(__name__)
SQL = Queries("gateway.dispatch", "dispatch.sql")

#: Pause before a look at a task whose backend is down (seconds, about); it ends early when the backend is back.
DOWN_SECONDS = 5.0
#: How often the owner renews its starts; a renewal may fail twice.
RENEW_SECONDS = REPEAT_SECONDS / 3
#: How long an outcome waits for others (seconds): the first one, and while more keep coming.
FIRST_WRITE_PAUSE, LAST_WRITE_PAUSE = 0.005, 0.04

#: Task id and epoch.
Key = tuple[str, int]


class OpenStarts:
    """`owner_id` names this process in the rows of its starts.

    A start is taken back only while its row has that name: if another process has repeated it because this one seemed
    dead, it belongs to the other one.
    """

    def __init__(self, database: Database, owner_id: Callable[[], str]) -> None:
        self._db = database
        self._owner_id = owner_id
        self._begun_at: dict[Key, float] = {}
        self._confirmed: list[Key] = []
        self._put_back: list[Key] = []
        self._to_write = asyncio.Event()
        # Statements for many rows would wait for each other's rows.
        self._writing = asyncio.Lock()

    def __contains__(self, key: Key) -> bool:
        return key in self._begun_at

    def __len__(self) -> int:
        return len(self._begun_at)

    def begin(self, ref: WorkflowRef) -> None:
        self._begun_at[ref.task_id, ref.epoch] = time.monotonic()

    def confirm(self, ref: WorkflowRef) -> None:
        """The engine has it."""
        self._confirmed.append((ref.task_id, ref.epoch))
        self._to_write.set()

    def put_back(self, ref: WorkflowRef) -> None:
        """The engine certainly does not have it: the task waits again."""
        self._put_back.append((ref.task_id, ref.epoch))
        self._to_write.set()

    async def repeat_later(self, ref: WorkflowRef, seconds: float) -> None:
        """The engine may have it: the same start will be repeated, by any gateway."""
        await self._end(ref, SQL.repeat_later, seconds)

    async def refuse(self, ref: WorkflowRef, why: str) -> None:
        """The engine will never take it: the task has failed."""
        await self._end(ref, SQL.refuse, why)

    async def _end(self, ref: WorkflowRef, query: str, value: Any) -> None:
        try:
            await self._db.execute(query, ref.task_id, ref.epoch, self._owner_id(), value)
        except DatabaseUnavailable:
            log.warning("PostgreSQL is away; the start of task %s is repeated", ref.task_id)
        self._begun_at.pop((ref.task_id, ref.epoch), None)

    async def run(self) -> None:
        """Write outcomes and renew the rest, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_forever())
            group.create_task(self._renew_forever())

    async def write(self) -> None:
        """Write the outcomes so far. What could not be written is kept. Raises `DatabaseUnavailable`."""
        async with self._writing:
            await self._write(self._confirmed, SQL.confirm)
            await self._write(self._put_back, SQL.put_back, self._owner_id(), DOWN_SECONDS)

    async def _write(self, outcomes: list[Key], query: str, *values: Any) -> None:
        batch = outcomes[:]
        if batch:
            await self._db.execute(query, *_columns(batch), *values)
            del outcomes[: len(batch)]
            for key in batch:
                self._begun_at.pop(key, None)

    async def renew(self, *, older_than: float) -> None:
        """Renew starts under way that were begun so many seconds ago. Raises `DatabaseUnavailable`."""
        async with self._writing:
            past = time.monotonic() - older_than
            batch = [key for key, begun_at in self._begun_at.items() if begun_at <= past]
            if batch:
                await self._db.execute(SQL.renew, *_columns(batch), self._owner_id(), REPEAT_SECONDS)

    async def _write_forever(self) -> None:
        pause = FIRST_WRITE_PAUSE
        while True:
            busy = self._to_write.is_set()
            await self._to_write.wait()
            self._to_write.clear()
            # One statement for many outcomes. Nobody waits for it: a worker can claim a task before.
            pause = min(2 * pause, LAST_WRITE_PAUSE) if busy else FIRST_WRITE_PAUSE
            await asyncio.sleep(pause)
            try:
                await self.write()
            except (DatabaseUnavailable, asyncpg.DeadlockDetectedError):
                await asyncio.sleep(0.5)
                self._to_write.set()

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await self.renew(older_than=RENEW_SECONDS)
            except (DatabaseUnavailable, asyncpg.DeadlockDetectedError) as error:
                log.warning("starts under way may be repeated by another gateway: %s", error)


def _columns(batch: list[Key]) -> tuple[list[str], list[int]]:
    """Sorted: everybody locks rows in this order."""
    batch = sorted(batch)
    return [task_id for task_id, _ in batch], [epoch for _, epoch in batch]
