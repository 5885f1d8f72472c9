"""Quotas, pauses and weights, in the memory of every gateway; changes are notified on `taskgate_limits`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.limits.sweep import CHUNK, Sweep
from gateway.pacing.throttle import Throttle
from gateway.storage.database import Database
from gateway.storage.driver_errors import was_cut_short
from gateway.storage.listener import Listener
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.limits", "limits.sql")

CHANNEL: Final = "taskgate_limits"
#: Longest pause between two looks (seconds), while there are limits, and while there are none.
BUSY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
#: Longest rest after a look that took long (seconds): a rule that changed unannounced takes effect within five.
LONGEST_REST: Final = 4.0
#: Tasks that one look lets go for free slots; a quota that grew by more is filled by several.
MOST_FOR_SLOTS: Final = 5 * CHUNK
#: Before all places in the indexes of what is held, and of what engines have.
_AT_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HELD_START: Final = ("", "", 0, _AT_FIRST)
_OPEN_START: Final = ("", "", 0, _AT_FIRST, "")


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of a tenant, or of its project (`project_id` ''); None: no limit. Bytes are of payloads, a day in UTC."""

    tenant_id: str
    project_id: str
    queued: int | None
    running: int | None
    per_minute: int | None
    bytes_per_day: int | None
    set_by: str
    set_at: datetime
    why: str | None

    @property
    def limits_intake(self) -> bool:
        return self.queued is not None or self.per_minute is not None or self.bytes_per_day is not None


@dataclass(frozen=True, slots=True)
class Pause:
    """The tasks that a pause holds back; None: any."""

    pause_id: str
    tenant_id: str | None
    project_id: str | None
    task_type: str | None
    why: str
    set_by: str
    set_at: datetime

    def covers(self, tenant_id: str | None, project_id: str | None, task_type: str) -> bool:
        return (
            self.tenant_id in (None, tenant_id)
            and self.project_id in (None, project_id)
            and self.task_type in (None, task_type)
        )


class Executor(Protocol):
    """Whatever runs a query."""

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]: ...


class Limits:
    """The present limits, answered from memory; `run` keeps them up to date.

    `recallable` names the backends whose workers all claim before they run. `wake` is called when tasks were released,
    `cancel_soon` when engines have starts that must be cancelled.
    """

    def __init__(
        self,
        database: Database,
        listener: Listener,
        *,
        recallable: list[str],
        wake: Callable[[], None] = lambda: None,
        cancel_soon: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._listener = listener
        listener.subscribe(CHANNEL, self._hear, missed=self._hear)
        self._recallable = recallable
        self.wake = wake
        self.cancel_soon = cancel_soon
        self._quotas: dict[tuple[str, str], Quota] = {}
        self._pauses: list[Pause] = []
        self._weights: dict[str, float] = {}
        self._announced = asyncio.Event()
        # Of what reads all that Temporal has, and all that projects' quotas hold.
        self._recalls, self._projects = (Throttle(longest=LONGEST_REST, clock=clock) for _ in range(2))
        self._recall = Sweep(SQL.recall_paused, *_OPEN_START, clock=clock)
        self._unpaused = Sweep(SQL.release_unpaused, *_HELD_START, clock=clock)
        self._unlimited = Sweep(SQL.release_unlimited, *_HELD_START, clock=clock)
        self._clock = clock

    # Questions ----------------------------------------------------------------------------------------------

    def quotas_of(self, tenant_id: str | None, project_id: str | None) -> list[Quota]:
        """The quotas for which a task counts: its tenant's and its project's."""
        if not self._quotas or tenant_id is None:
            return []
        keys = [(tenant_id, "")] if project_id is None else [(tenant_id, ""), (tenant_id, project_id)]
        return [self._quotas[key] for key in keys if key in self._quotas]

    def limits_running(self, tenant_id: str | None, project_id: str | None) -> bool:
        return any(quota.running is not None for quota in self.quotas_of(tenant_id, project_id))

    def is_paused(self, tenant_id: str | None, project_id: str | None, task_type: str) -> bool:
        return any(pause.covers(tenant_id, project_id, task_type) for pause in self._pauses)

    def gates(self, tenant_id: str | None, project_id: str | None, task_type: str) -> bool:
        """Whether a rule may hold such a task back."""
        return self.is_paused(tenant_id, project_id, task_type) or self.limits_running(tenant_id, project_id)

    def weight_of(self, tenant_id: str | None) -> float:
        """The tenant's weight."""
        return 1.0 if tenant_id is None else self._weights.get(tenant_id, 1.0)

    # Keeping fresh ------------------------------------------------------------------------------------------

    async def refresh(self, db: Executor | None = None) -> None:
        """Read everything now. Raises `DatabaseUnavailable`."""
        db = db or self._db
        quotas = [Quota(**dict(row)) for row in await db.fetch(SQL.quotas)]
        self._quotas = {(quota.tenant_id, quota.project_id): quota for quota in quotas}
        self._pauses = [Pause(**dict(row)) for row in await db.fetch(SQL.pauses)]
        self._weights = {row["tenant_id"]: row["weight"] for row in await db.fetch(SQL.weights)}

    async def apply(self, limited: tuple[str, str] | None = None) -> None:
        """Follow a rule that was changed just now, as far as that takes no time: `run` does the rest.

        `limited`: tenant and project ('': the whole tenant) that have a quota of running tasks now. The change is done:
        that PostgreSQL cannot be asked now is no error.
        """
        self._announced.set()
        try:
            await self.refresh()
            if limited is not None:
                # What is not reached has slots all the same; those that it leaves are given away by the next look.
                await Sweep(SQL.mark_open, _AT_FIRST, "", clock=self._clock).go_on(self._db, *limited)
            await self.settle()
        except (DatabaseUnavailable, asyncpg.PostgresError) as error:
            log.warning("a changed quota or pause is followed later (%s)", type(error).__name__)

    async def run(self) -> None:
        """Follow the tables, and release tasks that they no longer hold back, until cancelled."""
        self._listener.start()
        while True:
            is_asked = self._announced.is_set()
            self._announced.clear()
            has_more = False
            try:
                await self.refresh()
                has_more = await self.settle(is_asked=is_asked)
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                log.warning("quotas and pauses cannot be followed (%s); the last ones hold", type(error).__name__)
            if has_more:
                continue
            pause = BUSY_SECONDS if self._pauses or self._quotas else IDLE_SECONDS
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._announced.wait()

    def _hear(self, _payload: str = "") -> None:
        self._announced.set()

    async def settle(self, *, is_asked: bool = True) -> bool:
        """Call paused tasks back from engines, release the others: a piece of each (`Sweep`), so that other rules are
        read in between. Returns whether there is more. Raises `DatabaseUnavailable`.

        Not `is_asked`: no rule has changed since the last time, as far as is known. What is under way goes on then, and
        what reads much rests.
        """
        under_way: list[Sweep] = []

        async def go_on(sweep: Sweep, *arguments: Any) -> int:
            if is_asked:
                sweep.begin_anew()
            under_way.append(sweep)
            return await sweep.go_on(self._db, *arguments)

        if self._pauses and self._recallable and (is_asked or self._recall.is_under_way or not self._recalls.rest):
            recalled = 0
            try:
                with self._recalls.look():
                    recalled = await go_on(self._recall, self._recallable)
            except DatabaseUnavailable as error:
                if not was_cut_short(error):
                    raise
                log.warning("tasks that are paused are called back later (%s)", type(error.__cause__).__name__)
                self._recalls.give_up()
                self._recall.begin_anew()
            if recalled:
                self.cancel_soon()
        gone = await self._db.fetchrow(SQL.gone)
        assert gone is not None
        freed = await go_on(self._unpaused) if gone["is_pause_gone"] else 0
        freed += _count(await self._db.execute(SQL.release_for_slots, MOST_FOR_SLOTS))
        may_look = is_asked or self._unlimited.is_under_way or not self._projects.rest
        if gone["is_quota_gone"] or (gone["by_project"] and may_look):
            with self._projects.look():
                freed += await go_on(self._unlimited)
        if freed:
            self.wake()
        return any(sweep.is_under_way for sweep in under_way)


def _count(tag: str) -> int:
    """The number of changed rows in PostgreSQL's answer."""
    return int(tag.rsplit(" ", 1)[-1])
