"""The local override table above the flag: kill switch and guardrail, with an audit trail.

While the flag cannot be changed, a plan sets overrides in its place. They stand in for the flag: any other override
that covers a task outranks them, also a less specific one.

Every gateway holds the whole table (a few rows) in memory. A change is announced on the channel `taskgate_overrides`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import asyncpg

from gateway.routing.followed_table import POLL_SECONDS, FollowedTable
from gateway.routing.query import RouteQuery, Scope, scopes_of
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.storage.queries import Queries

logger = logging.getLogger(__name__)

SQL = Queries("gateway.routing", "routing.sql")
CHANNEL: Final = "taskgate_overrides"
#: Who sets the overrides of plans, which stand in for the flag; no person, so a guardrail may replace them.
PLAN_AUTHOR: Final = "taskgate plan"
#: The table is looked at so long after the first of its rows has expired (seconds): clocks may differ a little.
EXPIRED_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Override:
    """A stage that stands above the flag for a scope, who set it, and why. `expires_at` None: until it is cleared.

    No two settings of an override have the same `version`.
    """

    scope: Scope
    stage: Stage
    why: str
    set_by: str
    set_at: datetime
    expires_at: datetime | None = None
    version: int = 0
    ends: float | None = field(default=None, compare=False)
    """When it ends on this process's monotonic clock; None also while all guardrails are frozen: nothing ends then."""

    @property
    def stands_in(self) -> bool:
        """Whether it stands in for the flag."""
        return self.set_by == PLAN_AUTHOR

    def is_over(self, now: float) -> bool:
        """`now`: seconds on this process's monotonic clock."""
        return self.ends is not None and self.ends <= now


def deciding(rows: Mapping[Scope, Override], query: RouteQuery, now: float) -> Override | None:
    """The one that decides about the task: the most specific that covers it; those that stand in for the flag last."""
    stand_in = None
    for scope in scopes_of(query):
        row = rows.get(scope)
        if row is None or row.is_over(now):
            continue
        if not row.stands_in:
            return row
        stand_in = stand_in or row
    return stand_in


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


async def lock_overrides(db: Executor) -> None:
    """Until the end of the transaction nobody else who asks may change an override."""
    await db.fetchrow(SQL.lock_overrides)


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

    While the database is away the last known rows stay in force. `clock` is monotonic, in seconds. `load` reads the
    rows; what it raises leaves the last ones in force.
    """

    def __init__(
        self,
        database: Database,
        listener: Listener,
        *,
        poll: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        load: Callable[[Database], Awaitable[list[Override]]] = load_overrides,
    ) -> None:
        self._db = database
        self._load = load
        self._followed = FollowedTable(listener, CHANNEL, self.refresh, self._report, poll=poll)
        self._clock = clock
        self._rows: dict[Scope, Override] = {}
        self._listeners: list[Callable[[], None]] = []
        self._problem: str | None = None

    async def start(self) -> None:
        """Begin to follow the table, as `FollowedTable.start`."""
        await self._followed.start()

    async def close(self) -> None:
        await self._followed.close()

    def find(self, query: RouteQuery) -> Override | None:
        """The override in force that decides about the task; in memory."""
        return deciding(self._rows, query, self._clock()) if self._rows else None

    def rows(self) -> list[Override]:
        """Every override in force: the most specific first, and those that stand in for the flag last."""
        now = self._clock()
        rows = [row for row in self._rows.values() if not row.is_over(now)]
        return sorted(rows, key=lambda row: (row.stands_in, -row.scope.rank, str(row.scope)))

    def problem(self) -> str | None:
        """What keeps the table from being up to date, in one line."""
        return self._problem

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, on the event loop, after the rows or the problem changed."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Read the table now. Raises `DatabaseUnavailable`."""
        self._take(await self._load(self._db))

    def _take(self, rows: list[Override]) -> None:
        fresh = {row.scope: row for row in rows}
        changed = fresh != self._rows
        for scope, row in fresh.items():
            if row != self._rows.get(scope):
                logger.info("Override for %s: stage %s, by %s (%s)", scope, row.stage, row.set_by, row.why)
        for scope in self._rows.keys() - fresh.keys():
            logger.info("The override for %s is gone", scope)
        self._rows = fresh
        ends = [row.ends for row in rows if row.ends is not None]
        self._followed.wake_in(max(min(ends) - self._clock(), 0) + EXPIRED_SECONDS if ends else None)
        self._report(None, changed=changed)

    def _report(self, reason: str | None, *, changed: bool = False) -> None:
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
        version=row["version"],
        ends=None if left is None else time.monotonic() + left,
    )
