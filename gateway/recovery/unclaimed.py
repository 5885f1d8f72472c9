"""`Unclaimed`: starts that an engine has handed out and nobody has claimed yet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from backends.errors import EngineError
from backends.port import WorkflowEnginePort, WorkflowRef, WorkflowState
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.recovery", "unclaimed.sql")

#: A living worker claims what it was handed within this time, or gives it back (seconds). It may keep it for a second
#: while all its slots are in use (`ADMISSION_SECONDS` of `workers.temporal.activities`), and for three more while
#: another task of its group runs (`TURN_SECONDS` of `workers.graph.connection`).
CLAIM_SECONDS: Final = 5.0
#: Longest question and request about one start (seconds).
ASK_SECONDS: Final = 2.0


class Unclaimed:
    """Has the starts of one engine requeued whose present attempt was not claimed in `CLAIM_SECONDS`.

    That an engine runs what waits here for a claim says nothing by itself: it is so for a moment with each start. To
    fail the attempt then would take the task from a living worker, and run it twice.
    """

    def __init__(
        self, database: Database, engine: WorkflowEnginePort, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = database
        self._engine = engine
        self._clock = clock
        self._seen: dict[WorkflowRef, tuple[int, int, float]] = {}
        """Of each the task's run and the engine's attempt, as counted then, and since when both are known to stand."""

    def note(self, ref: WorkflowRef, run: int, attempt: int) -> None:
        """The engine's `attempt` holds this start; the task had been claimed `run` times before."""
        known = self._seen.get(ref)
        if known is None or known[:2] != (run, attempt):
            self._seen[ref] = run, attempt, self._clock()

    async def requeue(self) -> None:
        """Look again at those that have been noted for long enough. Raises `DatabaseUnavailable`."""
        ripe = [ref for ref, (_, _, since) in self._seen.items() if self._clock() - since >= CLAIM_SECONDS]
        await asyncio.gather(*map(self._look, ripe))

    async def _look(self, ref: WorkflowRef) -> None:
        run, attempt, _ = self._seen.pop(ref)
        # If the engine cannot answer, a later page finds it again.
        with contextlib.suppress(EngineError, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                status = await self._engine.get_workflow_status(ref)
                if status is None or status.state is not WorkflowState.RUNNING or status.attempt != attempt:
                    return
                # After the status: a claim in between is seen.
                if await self._db.fetchval(SQL.is_unclaimed, ref.task_id, ref.epoch, run, self._engine.name):
                    await self._engine.requeue_workflow(ref, "nobody claimed it")
