"""Duties: messages to engines, kept in PostgreSQL until they are confirmed (ADR 21). Every gateway sends them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Final

import asyncpg

from backends.errors import AnswerLost, EngineError, EngineUnavailable
from backends.port import Capability, WorkflowEnginePort, WorkflowRef, WorkflowState, WorkflowStatus, possible_starts
from gateway.errors import DatabaseUnavailable
from gateway.recovery.reaper import SQL as REAPER_SQL
from gateway.storage.database import Database
from gateway.storage.driver_errors import is_outage
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "duties.sql")

#: Longest pause between two looks (seconds).
LOOK_SECONDS: Final = 1.0
#: Duties in one page, the oldest and the newest, and how long the engine may take for each (seconds).
OLDEST, NEWEST = 24, 8
TELL_SECONDS: Final = 2.0
#: How many of a page an engine is told at once that reads lists for each (not `Capability.DIRECT`), and how long
#: more are begun (seconds); what is left goes back.
FEW: Final = 4
BEGIN_SECONDS: Final = 1.0
#: If a gateway dies with a page, another one takes it after this (seconds).
HOLD_SECONDS: Final = 5.0
#: Longest pause of a duty that keeps failing while its engine confirms others (seconds).
LONGEST_PAUSE: Final = 60.0
#: Number of looks between two counts of the duties of engines that are not configured here.
COUNT_EVERY: Final = 60


class EngineDuties:
    """Tells engines which runs to take back (`requeue`), which workers are lost (`release`), and what was stopped
    (`cancel`). Each engine and kind has a loop of its own, so that none waits for another.
    """

    def __init__(
        self, database: Database, engines: Mapping[str, WorkflowEnginePort], *, wake_dispatcher: Callable[[], None]
    ) -> None:
        self._db = database
        self._engines = engines
        self._wake_dispatcher = wake_dispatcher
        self._wanted = asyncio.Event()
        self._at_work: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.homeless: Mapping[str, int] = {}
        """Duties that wait for engines which are not configured here, as counted last."""

    def wake(self) -> None:
        """There are new ones."""
        self._wanted.set()

    async def run(self) -> None:
        """Look for what is due until cancelled."""
        looks = 0
        try:
            while True:
                with contextlib.suppress(DatabaseUnavailable):
                    await self._look()
                    if looks % COUNT_EVERY == 0:
                        await self._count_homeless()
                    looks += 1
                # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._wanted.wait()
                self._wanted.clear()
        finally:
            at_work = list(self._at_work.values())
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)

    async def settle(self, backend: str, kind: str) -> int:
        """Send this engine all due duties of this kind. Returns how many it confirmed. Raises `DatabaseUnavailable`."""
        engine, total = self._engines[backend], 0
        while rows := await self._db.fetch(SQL.take, backend, kind, OLDEST, NEWEST, HOLD_SECONDS):
            rows = _from_both_ends(sorted(rows, key=lambda row: row["was_due"]))
            answers = await self._tell_page(engine, kind, rows)
            told = [row for row, answer in zip(rows, answers, strict=True) if isinstance(answer, bool)]
            failed = [row for row, answer in zip(rows, answers, strict=True) if isinstance(answer, Exception)]
            gone = [row for row, answer in zip(rows, answers, strict=True) if answer is False]
            untold = [row for row, answer in zip(rows, answers, strict=True) if answer is None]
            await self._note_answers(backend, kind, told, gone)
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            is_there = bool(told) or await self._is_there(engine, errors)
            if untold:
                await self._db.execute(SQL.put_back, _ids(untold), [row["was_due"] for row in untold])
            if failed:
                await self._db.execute(SQL.set_aside, _ids(failed), is_there, LONGEST_PAUSE)
            total += len(told)
            if not is_there:
                break
        return total

    # Private ------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        for row in await self._db.fetch(SQL.due, list(self._engines)):
            key = (row["backend"], row["kind"])
            if key not in self._at_work:
                self._at_work[key] = asyncio.create_task(self._work(*key))

    async def _work(self, backend: str, kind: str) -> None:
        try:
            if not await self.settle(backend, kind):
                await asyncio.sleep(LOOK_SECONDS)  # it is away, and a wake-up does not change that
            self.wake()  # duties that came meanwhile
        except DatabaseUnavailable:
            log.debug("%ss of %s wait for PostgreSQL", kind, backend)
        except Exception:
            log.exception("%ss of %s were not told; they are tried again", kind, backend)
        finally:
            del self._at_work[backend, kind]

    async def _tell_page(
        self, engine: WorkflowEnginePort, kind: str, rows: Sequence[asyncpg.Record]
    ) -> list[bool | Exception | None]:
        """As `_tell`; None: it was not begun."""
        at_once = len(rows) if Capability.DIRECT in engine.capabilities else FEW
        loop, free = asyncio.get_running_loop(), asyncio.Semaphore(at_once)
        last = loop.time() + BEGIN_SECONDS

        async def tell(number: int, row: asyncpg.Record) -> bool | Exception | None:
            async with free:
                return await self._tell(engine, kind, row) if number < at_once or loop.time() < last else None

        return await asyncio.gather(*(tell(number, row) for number, row in enumerate(rows)))

    async def _is_there(self, engine: WorkflowEnginePort, errors: Sequence[Exception]) -> bool:
        """Whether an engine that confirmed nothing answers all the same: then it is the duties that fail."""
        if any(not isinstance(error, EngineUnavailable | AnswerLost | TimeoutError) for error in errors):
            return True
        if not any(isinstance(error, TimeoutError) for error in errors):
            return False
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await engine.check_health()
        except (EngineError, TimeoutError):
            return False
        return True

    async def _tell(self, engine: WorkflowEnginePort, kind: str, row: asyncpg.Record) -> bool | Exception:
        """False if the engine no longer has the start; the error if it did not answer."""
        ref = WorkflowRef(row["subject"], row["epoch"], row["group_id"], row["task_type"])
        try:
            async with asyncio.timeout(TELL_SECONDS):
                if kind == "requeue":
                    return not row["stands"] or await engine.requeue_workflow(
                        ref, "its worker was lost", held_by=row["held_by"]
                    )
                if kind == "release":
                    await engine.release_worker(ref.task_id, await self._ended_of(engine, ref.task_id))
                else:
                    await engine.cancel_workflow(ref, "Task stopped by user")
                return True
        except (EngineError, TimeoutError) as error:
            return error
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("%s of %s failed at %s", kind, row["subject"], engine.name)
            return error

    async def _ended_of(self, engine: WorkflowEnginePort, worker_id: str) -> dict[WorkflowRef, WorkflowStatus]:
        """The starts of a lost worker that ended here and not at the engine: a legacy worker would run them again.

        Raises `DatabaseUnavailable` and what the engine raises.
        """
        held = [start for workflow_id in await engine.list_held(worker_id) for start in possible_starts(workflow_id)]
        if not held:
            return {}
        ids, epochs = (list(column) for column in zip(*held, strict=True))
        return {
            WorkflowRef(row["task_id"], row["epoch"], row["group_id"], row["task_type"]): WorkflowStatus(
                WorkflowState(row["state"]), row["error"]
            )
            for row in await self._db.fetch(SQL.ended, ids, epochs, engine.name)
        }

    async def _note_answers(
        self, backend: str, kind: str, told: Sequence[asyncpg.Record], gone: Sequence[asyncpg.Record]
    ) -> None:
        if not told:
            return
        async with self._db.transaction() as db:
            if gone or kind == "cancel":
                await db.execute(SQL.lock_tasks, [row["subject"] for row in told])
            await db.execute(SQL.answered, _ids(told))
            if kind == "cancel":
                await db.execute(SQL.cancelled, backend, *_starts(told))
            if gone:
                await db.execute(REAPER_SQL.start_again, *_starts(gone))
        if gone or kind == "cancel":
            self._wake_dispatcher()

    async def _count_homeless(self) -> None:
        homeless = {row["backend"]: row["duties"] for row in await self._db.fetch(SQL.homeless, list(self._engines))}
        for backend in homeless.keys() - self.homeless.keys():
            log.warning("%d duties wait for backend %s, which is not configured here", homeless[backend], backend)
        self.homeless = homeless


def _from_both_ends(rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
    """The oldest, the newest, the second oldest and so on: whatever there is time for, neither waits for the other."""
    middle = (len(rows) + 1) // 2
    pairs = zip_longest(rows[:middle], reversed(rows[middle:]))
    return [row for pair in pairs for row in pair if row is not None]


def _ids(rows: Sequence[asyncpg.Record]) -> list[int]:
    return [row["duty_id"] for row in rows]


def _starts(rows: Sequence[asyncpg.Record]) -> tuple[list[str], list[int]]:
    return [row["subject"] for row in rows], [row["epoch"] for row in rows]
