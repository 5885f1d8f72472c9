"""Compares open tasks with the state of one engine, and finds starts that the engine has lost.

Exactly one gateway does this at a time (`gateway.recovery.leader`). Each check of each engine is a job of its own, so a
list that an engine cannot give delays nothing else. Some facts are kept in memory between two looks (ends that may
still be reported, the last page); if they are lost, the next look collects them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

import asyncpg

from backends.errors import EngineError
from backends.port import Capability, WorkflowEnginePort, WorkflowRef, WorkflowState, WorkflowStatus, possible_starts
from gateway.recovery.ended_lists import EndedLists
from gateway.recovery.leader import Left
from gateway.recovery.reaper import SQL as REAPER_SQL
from gateway.recovery.unclaimed import Unclaimed
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import STOP_CHANNEL, ChangeNotifier

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "engine_check.sql")

FULL_EVERY = 10
#: Starts that are compared with their engine one by one: open for this many seconds, this many at a time
#: (fewer while they wait: whatever ends them there is listed as ended).
SILENT_SECONDS = 3.0
UNFENCED_SILENT_SECONDS = 20.0
PAGE, WAITING_PAGE, UNFENCED_PAGE = 50, 20, 500
#: Open starts that are read for one page.
READ = 500
#: Starts that are compared at a time with an engine that lost its memory, in so many parts at once.
MEMORY_PAGE, MEMORY_PARTS = 2000, 4
#: Longest look at an engine, longest question about one start, and longest comparison of a page with the engine's
#: memory (seconds).
LOOK_SECONDS, ASK_SECONDS, MEMORY_SECONDS = 10.0, 2.0, 60.0
#: How long to wait for the worker's report of a task that its engine has ended (seconds).
REPORT_GRACE = timedelta(seconds=1)
#: Ends that are looked up at a time.
ASKED_AT_ONCE = 16

#: Of an open start: tenant, priority, when it came, id.
_Place = tuple[str, int, datetime, str]
_FIRST: Final[_Place] = ("", 0, datetime.fromtimestamp(0, UTC), "")

_OUTCOMES = {
    WorkflowState.COMPLETED: "completed",
    WorkflowState.CANCELLED: "stopped",
    WorkflowState.TERMINATED: "stopped",
}


class EngineCheck:
    """The checks of one engine. If the engine is away, they are left for later, and say so (`Left`).

    All methods raise `DatabaseUnavailable`.
    """

    def __init__(
        self,
        database: Database,
        engine: WorkflowEnginePort,
        notifier: ChangeNotifier,
        *,
        is_down: Callable[[str], bool],
        wake: Callable[[], None],
        on_corrected: Callable[[str, int], None] = lambda what, tasks: None,
    ) -> None:
        self._db = database
        self._engine = engine
        self._notifier = notifier
        self._is_down = is_down
        self._wake = wake
        self._on_corrected = on_corrected
        self._looks = 0
        self._last_run = ""
        self._places: dict[bool, _Place] = {}
        """Where the last page ended: of all open starts, and of those that were there when a worker was lost."""
        self._ended = EndedLists(engine)
        self._suspected: dict[WorkflowRef, datetime] = {}
        self._unclaimed = Unclaimed(database, engine)

    async def check_open(self) -> Left | None:
        """Compare a page of starts that have been open for a while."""
        self._looks += 1
        return await self._look(self._check_page)

    async def merge_ended(self) -> Left | None:
        """Note the open tasks that the engine lists as ended; `settle` ends them."""

        async def look() -> None:
            ended = await self._ended.look()
            candidates = {task_id for one in ended for task_id, _ in possible_starts(one.workflow_id)}
            if candidates:
                ids = {one.workflow_id for one in ended}
                for row in await self._db.fetch(SQL.open_by_candidate, list(candidates), self._engine.name):
                    ref = _ref(row)
                    if ref.workflow_id in ids:
                        self._suspect(ref)

        return await self._look(look, only_if_open=True)

    async def settle(self) -> Left | None:
        """End tasks that the engine has ended and that nobody has reported since."""
        now = datetime.now(UTC)
        due = [ref for ref, first in self._suspected.items() if now - first >= REPORT_GRACE]
        if due and self._is_down(self._engine.name):
            return Left.FOR_LATER
        limit = asyncio.Semaphore(ASKED_AT_ONCE)

        async def settle(ref: WorkflowRef) -> bool:
            async with limit:
                with contextlib.suppress(EngineError, TimeoutError):
                    await self._end(ref)
                    del self._suspected[ref]
                    return True
                return False

        return None if all(await asyncio.gather(*map(settle, due))) else Left.FOR_LATER

    async def keep_fresh(self) -> Left | None:
        """Refresh what waits in the engine, so that no legacy worker treats it as stalled."""
        return await self._look(self._engine.keep_fresh, only_if_open=True)

    async def check_memory(self) -> Left | None:
        """Start lost tasks again, if the engine's data is not the same as at the last look.

        The progress is stored in PostgreSQL, so the next leader can finish it.
        """
        name = self._engine.name
        if self._is_down(name):
            return Left.FOR_LATER
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                incarnation = await self._engine.get_incarnation()
            memory = await self._db.fetchrow(SQL.memory, name)
            if memory is None or memory["incarnation"] != incarnation:
                if memory is not None:
                    log.warning("backend %s came back without its memory; waiting tasks are checked", name)
                await self._db.execute(SQL.note_memory, name, incarnation)
                memory = await self._db.fetchrow(SQL.memory, name)
            assert memory is not None
            group, task_id = memory["after_group"], memory["after_task"]
            while group is not None:
                rows = await self._db.fetch(SQL.waiting_page, name, group, task_id, MEMORY_PAGE)
                async with asyncio.timeout(MEMORY_SECONDS):
                    await self._compare_memory(rows)
                is_last = len(rows) < MEMORY_PAGE
                group, task_id = (None, None) if is_last else (rows[-1]["group_id"], rows[-1]["task_id"])
                await self._db.execute(SQL.move_on, name, incarnation, group, task_id)
        except (EngineError, TimeoutError) as error:
            log.debug("the memory of %s is checked later: %s", name, type(error).__name__)
            return Left.FOR_LATER
        return None

    # Private ------------------------------------------------------------------------------------------------

    async def _look(self, look: Callable[[], Awaitable[object]], *, only_if_open: bool = False) -> Left | None:
        """One look, of limited length. It is left for later if the engine cannot answer; there is nothing to be done
        with `only_if_open` if the engine has no task that may have ended.
        """
        name = self._engine.name
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                if only_if_open and not await self._db.fetchval(SQL.has_open, name):
                    return None
                left = Left.FOR_LATER if self._is_down(name) else await look()
                return left if isinstance(left, Left) else None
        except (EngineError, TimeoutError) as error:
            log.debug("comparison with %s left for later: %s", name, type(error).__name__)
            return Left.FOR_LATER

    async def _compare_memory(self, rows: Sequence[asyncpg.Record]) -> None:
        """Compare in parts at the same time. If only some parts fail, the regular looks see to those."""
        parts: list[list[asyncpg.Record]] = [[] for _ in range(MEMORY_PARTS)]
        for number, (_, group) in enumerate(groupby(rows, lambda row: row["group_id"])):
            parts[number % MEMORY_PARTS] += group
        ends = await asyncio.gather(*(self._restart_lost(part) for part in parts if part), return_exceptions=True)
        errors = [end for end in ends if isinstance(end, BaseException)]
        for error in errors:
            if not isinstance(error, EngineError) or len(errors) == len(ends):
                raise error
            log.warning("some tasks were not compared with %s: %s", self._engine.name, error)

    async def _restart_lost(self, rows: Sequence[asyncpg.Record]) -> None:
        """Start tasks again that the engine does not know. A running task goes on without its engine."""
        lost = await self._engine.find_lost([_ref(row) for row in rows if row["state"] == "queued"])
        if not lost:
            return
        again = await self._db.fetch(REAPER_SQL.start_again, [ref.task_id for ref in lost], [ref.epoch for ref in lost])
        if again:
            log.warning("%d tasks were gone from %s; they are started again", len(again), self._engine.name)
            self._wake()

    async def _check_page(self) -> Left | None:
        if Capability.FENCED not in self._engine.capabilities:
            # Redis searches its lists, and ends by legacy workers are in task_logs: seldom, and in one pass.
            if self._looks % FULL_EVERY == 5:
                rows = await self._silent_starts(UNFENCED_SILENT_SECONDS, UNFENCED_PAGE, everything=True)
                await self._restart_lost(rows)
            return None
        if self._looks % FULL_EVERY == 1:  # a question costs the engine as much as a start
            rows = await self._silent_starts(SILENT_SECONDS, WAITING_PAGE, everything=True)
        elif self._looks % 2:
            rows = await self._silent_starts(SILENT_SECONDS, PAGE, everything=False)
        else:
            rows = await self._silent_runs(SILENT_SECONDS, PAGE)
        left = await asyncio.gather(*(self._check(row) for row in rows))
        await self._unclaimed.requeue()
        return Left.FOR_LATER if any(left) else None

    async def _silent_runs(self, seconds: float, page: int) -> list[asyncpg.Record]:
        """The next page of runs that have been open for so long."""
        rows = await self._db.fetch(SQL.silent_runs, self._engine.name, self._last_run, seconds, page)
        self._last_run = rows[-1]["task_id"] if len(rows) == page else ""
        return rows

    async def _silent_starts(self, seconds: float, page: int, *, everything: bool) -> list[asyncpg.Record]:
        """The next page of starts that have been open for so long, among the next that there are; only with
        `everything` those that no lost worker may have."""
        place = self._places.get(everything, _FIRST)
        read = await self._db.fetch(SQL.open_starts, self._engine.name, *place, READ, seconds, everything)
        rows = [row for row in read if row["is_silent"]][:page]
        last = rows[-1] if len(rows) == page else read[-1] if len(read) == READ else None
        self._places[everything] = _FIRST if last is None else _place(last)
        return rows

    async def _check(self, row: asyncpg.Record) -> Left | None:
        """Compare one start; the engine may not answer for it, which delays no other."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self._compare(row)
        except (EngineError, TimeoutError) as error:
            log.debug("task %s is compared later: %s", row["task_id"], type(error).__name__)
            return Left.FOR_LATER
        return None

    async def _compare(self, row: asyncpg.Record) -> None:
        ref = _ref(row)
        status = await self._engine.get_workflow_status(ref)
        if status is None:
            await self._restart_lost([row])
        elif status.state.is_terminal:
            self._suspect(ref)
        elif (
            status.state is WorkflowState.RUNNING
            and row["state"] == "queued"
            and Capability.FENCED in self._engine.capabilities
        ):
            # A worker is just receiving it, or died before its claim.
            self._unclaimed.note(ref, row["attempt"], status.attempt)

    def _suspect(self, ref: WorkflowRef) -> None:
        """The engine ended it, and it is open here; its worker may be about to report it."""
        self._suspected.setdefault(ref, datetime.now(UTC))

    async def _end(self, ref: WorkflowRef) -> None:
        """End it as the engine did, unless the engine continues it: after a reset there is one run that ended, and
        another one that is open.
        """
        async with asyncio.timeout(ASK_SECONDS):
            status = await self._engine.get_workflow_status(ref)
        if status is None or not status.state.is_terminal:
            return
        state = _OUTCOMES.get(status.state, "failed")
        if await self._db.fetchval(SQL.end_by_engine, ref.task_id, ref.epoch, state, _words(status)):
            log.warning(
                "task %s was %s by its engine: %s", ref.task_id, status.state.value, status.error or "no reason"
            )
            self._on_corrected("ended by engine", 1)
            self._notifier.changed(ref.task_id)
            await self._db.execute("SELECT pg_notify($1, $2)", STOP_CHANNEL, ref.task_id)


def _words(status: WorkflowStatus) -> str | None:
    """The error message of such an end."""
    if status.state is WorkflowState.COMPLETED:
        return None
    if status.state is WorkflowState.FAILED and status.error:
        return status.error
    end = f"Task {status.state.value.replace('_', ' ')}"
    return f"{end}: {status.error}" if status.error else end


def _ref(row: asyncpg.Record) -> WorkflowRef:
    return WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"])


def _place(row: asyncpg.Record) -> _Place:
    return row["tenant"], row["priority"], row["created_at"], row["task_id"]
