"""The local override table above the flag: kill switch and guardrail, with an audit trail.

Every gateway holds the whole table (a few rows) in memory. A change is announced on the channel
`taskgate_overrides`; a slow poll catches what a lost connection or a transaction pooler (which passes no LISTEN)
kept from being heard.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import asyncpg

from backends.errors import TaskgateError
from gateway.routing.query import RouteQuery, Scope, scopes_of
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.storage.driver_errors import DRIVER_ERRORS
from gateway.storage.listener import Listener
from gateway.storage.queries import Queries

logger = logging.getLogger(__name__)

SQL = Queries("gateway.routing", "routing.sql")
CHANNEL: Final = "taskgate_overrides"
#: Seconds between two looks at the table that nobody asked for.
POLL_SECONDS: Final = 5.0
#: Longest time that `start` waits for the first look (seconds).
START_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Override:
    """A stage that stands above the flag for a scope, who set it, and why. `expires_at` None: until it is cleared."""

    scope: Scope
    stage: Stage
    why: str
    set_by: str
    set_at: datetime
    expires_at: datetime | None = None
    ends: float | None = field(default=None, compare=False)
    """When it ends on this process's monotonic clock."""


class Executor(Protocol):
    """Whatever runs one statement: `Database`, a connection, a connection of a pool."""

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]: ...

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None: ...


async def load_overrides(db: Executor) -> list[Override]:
    """The overrides in force. A row with a stage nobody knows is passed over, and logged."""
    found = []
    for row in await db.fetch(SQL.list_overrides):
        try:
            found.append(_override(row))
        except ValueError as error:
            logger.error("An override is passed over: %s", error)
    return found


async def set_override(
    db: Executor, scope: Scope, stage: Stage, *, by: str, why: str, lasts: timedelta | None = None
) -> Override:
    """Put a stage above the flag, in place of an earlier override for the same scope, with its line in the audit."""
    seconds = None if lasts is None else lasts.total_seconds()
    row = await db.fetchrow(
        SQL.set_override, scope.tenant_id, scope.project_id, scope.task_type, stage.value, why, by, seconds, str(scope)
    )
    assert row is not None
    return _override(row)


async def clear_override(db: Executor, scope: Scope, *, by: str, why: str) -> bool:
    """Take the override of exactly this scope away; False when there was none."""
    row = await db.fetchrow(SQL.clear_override, scope.tenant_id, scope.project_id, scope.task_type, by, why, str(scope))
    return row is not None


class Overrides:
    """The overrides in force, in memory; kept fresh by a task of its own between `start` and `close`.

    While the database is away the last known rows stay in force. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        database: Database,
        listener: Listener,
        *,
        poll: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._listener = listener
        listener.subscribe(CHANNEL, self._announced, missed=self._announced)
        self._poll = poll
        self._clock = clock
        self._rows: dict[Scope, Override] = {}
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._problem: str | None = None

    async def start(self) -> None:
        """Begin to follow the table; returns after `START_SECONDS` at the latest, whether it could be read or not."""
        self._listener.start()
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="route-overrides")
            try:
                await asyncio.wait_for(self._looked.wait(), START_SECONDS)
            except TimeoutError:
                self._report("it could not be read in time")

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def find(self, query: RouteQuery) -> Override | None:
        """The override of the most specific scope that covers the task and has not expired; in memory."""
        if not self._rows:
            return None
        now = self._clock()
        for scope in scopes_of(query):
            row = self._rows.get(scope)
            if row is not None and (row.ends is None or row.ends > now):
                return row
        return None

    def rows(self) -> list[Override]:
        """Every override in force, the most specific first."""
        now = self._clock()
        rows = [row for row in self._rows.values() if row.ends is None or row.ends > now]
        return sorted(rows, key=lambda row: (-row.scope.rank, str(row.scope)))

    def problem(self) -> str | None:
        """What keeps the table from being up to date, in one line."""
        return self._problem

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, on the event loop, after the rows or the problem changed."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Read the table now. Raises `DatabaseUnavailable`."""
        self._take(await load_overrides(self._db))

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            try:
                async with asyncio.timeout(self._poll):
                    rows = await load_overrides(self._db)
                self._take(rows)
            except (TaskgateError, OSError, *DRIVER_ERRORS, ValueError) as error:
                self._report(str(error) or type(error).__name__)
            await self._pause()

    async def _pause(self) -> None:
        # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
        try:
            async with asyncio.timeout(self._poll):
                await self._wake.wait()
        except TimeoutError:
            return

    def _announced(self, _payload: str = "") -> None:
        self._wake.set()

    def _take(self, rows: list[Override]) -> None:
        fresh = {row.scope: row for row in rows}
        changed = fresh != self._rows
        for scope, row in fresh.items():
            if row != self._rows.get(scope):
                logger.info("Override for %s: stage %s, by %s (%s)", scope, row.stage, row.set_by, row.why)
        for scope in self._rows.keys() - fresh.keys():
            logger.info("The override for %s is gone", scope)
        self._rows = fresh
        self._report(None, changed=changed)

    def _report(self, reason: str | None, *, changed: bool = False) -> None:
        self._looked.set()
        problem = None if reason is None else f"the override table cannot be followed ({reason}); the last rows hold"
        if problem is not None and self._problem is None:
            logger.warning("%s", problem)
        elif problem is None and self._problem is not None:
            logger.info("The override table is followed again")
        changed = changed or (problem is None) != (self._problem is None)
        self._problem = problem
        if changed:
            for listener in self._listeners:
                listener()


def _override(row: asyncpg.Record) -> Override:
    left = row["seconds_left"]
    return Override(
        scope=Scope(row["tenant_id"], row["project_id"], row["task_type"]),
        stage=Stage.parse(row["stage"]),
        why=row["why"],
        set_by=row["set_by"],
        set_at=row["set_at"],
        expires_at=row["expires_at"],
        ends=None if left is None else time.monotonic() + left,
    )
