"""Merges what nobody reported: legacy workers' writes, the engines' own view, rows changed by hand (design §3.5).

One `tick` is one comparison; exactly one gateway does this at a time (`gateway.recovery.leader`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from backends.errors import EngineError
from backends.port import Capability, WorkflowEnginePort, WorkflowRef, WorkflowState, WorkflowStatus
from gateway.recovery.ended_lists import EndedLists
from gateway.recovery.reaper import SQL as REAPER_SQL
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import STOP_CHANNEL, ChangeNotifier

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "reconciler.sql")

#: Seconds that the quick comparison looks back; the complete one runs every `FULL_EVERY` ticks.
RECENT = 15.0
FULL_EVERY = 10
FRESH_EVERY = 30
#: Starts that are compared with their engine one by one: open for this many seconds, this many at a time
#: (fewer while they wait: whatever ends them there is listed as ended).
SILENT_SECONDS = 3.0
UNFENCED_SILENT_SECONDS = 20.0
PAGE, WAITING_PAGE = 50, 20
#: A row that an engine ended may still be reported by its worker within this time.
REPORT_GRACE = timedelta(seconds=1)
#: Rows that are gone are looked for at every second tick.
ROWLESS_EVERY = 2
#: Ends that are asked about at a time.
ASKED_AT_ONCE = 16

_OUTCOMES = {
    WorkflowState.COMPLETED: "completed",
    WorkflowState.CANCELLED: "stopped",
    WorkflowState.TERMINATED: "stopped",
}


class Reconciler:
    """Compares `dispatch`, `task_logs` and the engines, and makes them agree."""

    def __init__(
        self,
        database: Database,
        engines: Mapping[str, WorkflowEnginePort],
        notifier: ChangeNotifier,
        *,
        is_down: Callable[[str], bool],
        wake: Callable[[], None],
    ) -> None:
        self._db = database
        self._engines = engines
        self._notifier = notifier
        self._is_down = is_down
        self._wake = wake
        self._unfenced = [n for n, e in engines.items() if Capability.FENCED not in e.capabilities]
        self._ticks = 0
        self._pages: dict[tuple[str, bool], str] = {}
        """By engine, and whether waiting ones are among them: the last task that was looked at."""
        self._incarnations: dict[str, str] = {}
        self._ended = {name: EndedLists(engine) for name, engine in engines.items()}
        self._suspected: dict[WorkflowRef, tuple[datetime, WorkflowEnginePort]] = {}

    async def tick(self) -> None:
        """One comparison. Raises `DatabaseUnavailable`; an engine that is away is left for later."""
        full = self._ticks % FULL_EVERY == 0
        self._ticks += 1
        await self._merge_rows(full)
        open_backends = {row["backend"] for row in await self._db.fetch(SQL.open_backends)}
        there = [name for name in self._engines if not self._is_down(name)]
        await asyncio.gather(
            *(self._compare(name) if name in open_backends else self._recognise(name) for name in there)
        )
        await self._settle()

    # Rows ---------------------------------------------------------------------------------------------------

    async def _merge_rows(self, full: bool) -> None:
        look_back = None if full else RECENT
        changed: list[str] = []
        if self._unfenced:
            for query in (SQL.merge_started, SQL.merge_ended):
                changed += [r["task_id"] for r in await self._db.fetch(query, self._unfenced, look_back)]
            changed += [r["task_id"] for r in await self._db.fetch(SQL.merge_recovered, self._unfenced)]
        changed += [r["task_id"] for r in await self._db.fetch(SQL.restore_stopped)]
        changed += [r["task_id"] for r in await self._db.fetch(SQL.restore_completed, full)]
        if full or self._ticks % ROWLESS_EVERY == 0:
            for row in await self._db.fetch(SQL.drop_rowless):
                changed.append(row["task_id"])
                await self._db.execute("SELECT pg_notify($1, $2)", STOP_CHANNEL, row["task_id"])
        for task_id in changed:
            self._notifier.changed(task_id)

    # Engines ------------------------------------------------------------------------------------------------

    async def _compare(self, name: str) -> None:
        engine = self._engines[name]
        try:
            async with asyncio.timeout(10):
                if await self._lost_its_memory(engine):
                    log.warning("backend %s came back without its memory; waiting tasks are checked", name)
                    await self._check_all(engine)
                if self._ticks % FRESH_EVERY == 1:
                    await engine.keep_fresh()
                await self._merge_ended(engine)
                await self._check_page(engine)
        except (EngineError, TimeoutError) as error:
            log.debug("comparison with %s left for later: %s", name, type(error).__name__)

    async def _recognise(self, name: str) -> None:
        """Know an engine that has nothing of ours yet: its memory may be gone right after it was given something."""
        with contextlib.suppress(EngineError, TimeoutError):
            async with asyncio.timeout(10):
                await self._lost_its_memory(self._engines[name])

    async def _lost_its_memory(self, engine: WorkflowEnginePort) -> bool:
        now = await engine.get_incarnation()
        before = self._incarnations.get(engine.name)
        self._incarnations[engine.name] = now
        return before is not None and before != now

    async def _merge_ended(self, engine: WorkflowEnginePort) -> None:
        ended = await self._ended[engine.name].look()
        candidates = {task_id for one in ended for task_id in _candidates(one.workflow_id)}
        if candidates:
            ids = {one.workflow_id for one in ended}
            for row in await self._db.fetch(SQL.open_by_candidate, list(candidates), engine.name):
                ref = _ref(row)
                if ref.workflow_id in ids:
                    self._suspect(ref, engine)

    async def _check_all(self, engine: WorkflowEnginePort) -> None:
        after = ""
        while rows := await self._db.fetch(SQL.silent_starts, engine.name, after, 0.0, 500, True):
            await self._restart_lost(engine, rows)
            after = rows[-1]["task_id"]

    async def _restart_lost(self, engine: WorkflowEnginePort, rows: Sequence[asyncpg.Record]) -> None:
        """Start again what the engine knows nothing of; a run goes on without its engine."""
        waiting = [_ref(row) for row in rows if row["state"] == "queued"]
        for ref in await engine.find_lost(waiting):
            if await self._db.fetchval(REAPER_SQL.rewait, ref.task_id, ref.epoch):
                log.warning("task %s was gone from %s; it is started again", ref.task_id, engine.name)
                self._wake()

    async def _check_page(self, engine: WorkflowEnginePort) -> None:
        if Capability.FENCED not in engine.capabilities:
            # Its lists are searched, and legacy workers' ends come from task_logs: seldom, and all in one pass.
            if self._ticks % FULL_EVERY == 5:
                rows = await self._silent(engine, UNFENCED_SILENT_SECONDS, 500, everything=True)
                await self._restart_lost(engine, rows)
            return
        everything = self._ticks % FULL_EVERY == 1  # asking costs the engine as much as a start does
        page = WAITING_PAGE if everything else PAGE
        rows = await self._silent(engine, SILENT_SECONDS, page, everything=everything)
        await asyncio.gather(*(self._check(engine, row) for row in rows))

    async def _silent(
        self, engine: WorkflowEnginePort, seconds: float, page: int, *, everything: bool
    ) -> Sequence[asyncpg.Record]:
        """The next page of starts that are open for so long; those that wait only with `everything`."""
        place = engine.name, everything
        after = self._pages.get(place, "")
        rows = await self._db.fetch(SQL.silent_starts, engine.name, after, seconds, page, everything)
        self._pages[place] = rows[-1]["task_id"] if len(rows) == page else ""
        return rows

    async def _check(self, engine: WorkflowEnginePort, row: asyncpg.Record) -> None:
        ref = _ref(row)
        status = await engine.get_workflow_status(ref)
        if status is None:
            await self._restart_lost(engine, [row])
        elif status.state.is_terminal:
            self._suspect(ref, engine)
        elif (
            status.state is WorkflowState.RUNNING
            and row["state"] == "queued"
            and Capability.FENCED in engine.capabilities
        ):
            # Handed to a worker that died before its claim.
            await engine.requeue_workflow(ref, "nobody claimed it")

    def _suspect(self, ref: WorkflowRef, engine: WorkflowEnginePort) -> None:
        """An engine ended it, and it is open here: its worker may be about to report it."""
        self._suspected.setdefault(ref, (datetime.now(UTC), engine))

    async def _settle(self) -> None:
        """End what its engine ended and nobody has reported since."""
        now = datetime.now(UTC)
        due = [(ref, engine) for ref, (first, engine) in self._suspected.items() if now - first >= REPORT_GRACE]
        limit = asyncio.Semaphore(ASKED_AT_ONCE)

        async def settle(ref: WorkflowRef, engine: WorkflowEnginePort) -> None:
            async with limit:
                with contextlib.suppress(EngineError, TimeoutError):
                    await self._end(ref, engine)
                    del self._suspected[ref]

        await asyncio.gather(*(settle(ref, engine) for ref, engine in due if not self._is_down(engine.name)))

    async def _end(self, ref: WorkflowRef, engine: WorkflowEnginePort) -> None:
        """End it as its engine did, unless that goes on with it: what was reset there has one run that ended, and
        another that did not.
        """
        async with asyncio.timeout(10):
            status = await engine.get_workflow_status(ref)
        if status is None or not status.state.is_terminal:
            return
        state = _OUTCOMES.get(status.state, "failed")
        if await self._db.fetchval(SQL.end_by_engine, ref.task_id, ref.epoch, state, _words(status)):
            log.warning("task %s was %s by its engine", ref.task_id, status.state.value)
            self._notifier.changed(ref.task_id)
            await self._db.execute("SELECT pg_notify($1, $2)", STOP_CHANNEL, ref.task_id)


def _words(status: WorkflowStatus) -> str | None:
    """What is said of such an end."""
    if status.state is WorkflowState.COMPLETED:
        return None
    if status.state is WorkflowState.FAILED and status.error:
        return status.error
    end = f"Task {status.state.value.replace('_', ' ')}"
    return f"{end}: {status.error}" if status.error else end


def _ref(row: asyncpg.Record) -> WorkflowRef:
    return WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"])


def _candidates(workflow_id: str) -> list[str]:
    """Task ids that this workflow id may belong to (the epoch's suffix looks like part of an id)."""
    if not workflow_id.startswith("task-"):
        return []
    body = workflow_id.removeprefix("task-")
    head, _, tail = body.rpartition("-")
    return [body, head] if head and tail.isdigit() else [body]
