"""Starts that this process has begun and whose outcome is not yet written. It owns them, and nobody repeats them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
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
#: How long an outcome waits to be written (seconds). Of a start that a worker claims before that nothing needs to be
#: written; nobody waits for the others.
WRITE_PAUSE = 0.25

#: Task id and epoch.
Key = tuple[str, int]


class OpenStarts:
    """`owner_id` names this process in the rows of its starts.

    A start is taken back only while its row has that name: if another process has repeated it because this one seemed
    dead, it belongs to the other one.
    """

    def __init__(self, database: Database, owner_id: Callable[[], str], ended: Callable[[str], None]) -> None:
        """`ended` is told the id of a task once the outcome of its start is written."""
        self._db = database
        self._owner_id = owner_id
        self._ended = ended
        self._begun_at: dict[Key, float] = {}
        #: When the engine had them.
        self._confirmed: dict[Key, float] = {}
        self._put_back: dict[Key, float] = {}
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
        self._confirmed[ref.task_id, ref.epoch] = time.monotonic()
        self._to_write.set()

    def put_back(self, ref: WorkflowRef) -> None:
        """The engine certainly does not have it: the task waits again."""
        self._put_back[ref.task_id, ref.epoch] = time.monotonic()
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
        except Exception:
            log.exception("the outcome of the start of task %s was not written; it is repeated", ref.task_id)
        finally:  # or this process would own it, and nobody repeat it, for as long as it lives
            self._begun_at.pop((ref.task_id, ref.epoch), None)
            self._ended(ref.task_id)

    async def run(self) -> None:
        """Write outcomes and renew the rest, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_forever())
            group.create_task(self._renew_forever())

    async def write(self) -> None:
        """Write the outcomes so far. What could not be written is kept. Raises `DatabaseUnavailable`."""
        async with self._writing:
            if confirmed := dict(self._confirmed):
                now = time.monotonic()
                ages = [now - confirmed[key] for key in sorted(confirmed)]
                await self._db.execute(SQL.confirm, *_columns(confirmed), ages)
                self._written(self._confirmed, confirmed)
            if put_back := dict(self._put_back):
                await self._db.execute(SQL.put_back, *_columns(put_back), self._owner_id(), DOWN_SECONDS)
                self._written(self._put_back, put_back)

    def _written(self, outcomes: dict[Key, float], batch: Iterable[Key]) -> None:
        for key in batch:
            del outcomes[key]
            self._begun_at.pop(key, None)
            self._ended(key[0])

    async def renew(self, *, older_than: float) -> None:
        """Renew starts under way that were begun so many seconds ago. Raises `DatabaseUnavailable`."""
        async with self._writing:
            past = time.monotonic() - older_than
            batch = [key for key, begun_at in self._begun_at.items() if begun_at <= past]
            if batch:
                await self._db.execute(SQL.renew, *_columns(batch), self._owner_id(), REPEAT_SECONDS)

    async def _write_forever(self) -> None:
        if self._confirmed or self._put_back:  # left by a loop that an error ended
            self._to_write.set()
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            await asyncio.sleep(WRITE_PAUSE)
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


def _columns(batch: Iterable[Key]) -> tuple[list[str], list[int]]:
    """Sorted: everybody locks rows in this order."""
    keys = sorted(batch)
    return [task_id for task_id, _ in keys], [epoch for _, epoch in keys]
