"""Runs one task: claim, handler with timeout and stop, report. The same for every backend."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from backends.redis_queue.wire import for_handler
from gateway.graph.turns import TYPES_IN_TURN
from gateway.observability.logs import log_fields
from gateway.tasks import fault_points
from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.lifecycle.foreign import ForeignTasks
from gateway.tasks.lifecycle.transitions import Transitions
from workers.claims import HELD_PAUSE, Claims
from workers.endings import DRAIN, TIMED_OUT, Endings, Run
from workers.execution.inline import InlineExecution
from workers.execution.isolated import IsolatedExecution
from workers.failure import ErrorNames
from workers.handlers.base import TaskContext, TaskRegistry
from workers.known_tasks import KnownTasks, Offered
from workers.outage_retry import until_stored
from workers.outcome import FENCED, Assignment, Outcome, Refused
from workers.progress import ProgressReporter
from workers.reports import Reports
from workers.slots import FixedSlots
from workers.time_limit import time_limit
from workers.turns import Turns

log = logging.getLogger(__name__)

#: How long a handler may take to react to its cancellation before it is abandoned (and fenced off).
CANCEL_GRACE = 0.8


class UnknownTaskType(Exception):
    """No handler for this task type (R7)."""

    non_retryable = True


class Runner:
    """The gateway's `TaskRunner` (see `workers.outcome`), one per worker process.

    `engine_retries`: the engine offers a failed task again by itself (Temporal); else the dispatcher does (Redis).
    `non_retryable` names the errors that are not worth another run, by task type. `isolated` runs the handlers that ask
    for a process of their own; without it they run in this one. `slots` are told how long claims take, and of handlers
    that run. `turns` are taken by tasks that change the graph.
    """

    def __init__(
        self,
        transitions: Transitions,
        foreign: ForeignTasks,
        registry: TaskRegistry,
        context: Callable[[Claim, ProgressReporter], TaskContext],
        worker_id: Callable[[], str],
        *,
        engine_retries: bool,
        non_retryable: ErrorNames | None = None,
        isolated: IsolatedExecution | None = None,
        slots: FixedSlots | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._transitions = transitions
        self._registry = registry
        self._context = context
        self._worker_id = worker_id
        self._inline = InlineExecution()
        self._isolated = isolated
        self._slots = slots or FixedSlots(1)
        self._turns = turns
        self._runs: dict[str, Run] = {}
        self._claims = Claims(transitions, foreign, worker_id, self._slots, engine_retries=engine_retries)
        self._reports = Reports(transitions, worker_id, non_retryable or {}, engine_retries=engine_retries)
        self._known = KnownTasks()
        self._endings = Endings(self._reports, self._known, self._slots)
        self._works: set[asyncio.Future[None]] = set()
        """Every handler that has not returned, abandoned ones included."""
        self._draining = False
        self._suspended = False

    @property
    def running(self) -> int:
        return len(self._runs)

    async def run(self, assignment: Assignment) -> Outcome:
        """Run one task to an outcome; never raises but `CancelledError` (the engine wants the slot back)."""
        with log_fields(task_id=assignment.task_id), self._known.entered(assignment.task_id) as offer:
            offered = asyncio.get_running_loop().time()
            if self._turns is None or not self._takes_turns(assignment.task_type):
                return await self._run(assignment, offer, offered)
            async with AsyncExitStack() as turn:
                with self._slots.inside():  # it delays no claim
                    pause = await turn.enter_async_context(self._turns.taken(assignment.group_id))
                if pause is not None:
                    return Refused("another task of its group runs", retry_in=pause)
                return await self._run(assignment, offer, offered)

    def _takes_turns(self, task_type: str) -> bool:
        """A handler in a process of its own waits there: its turn could not be handed to it."""
        handler = self._registry.get_handler(task_type)
        is_here = handler is not None and not (self._isolated is not None and self._isolated.wants(handler))
        return is_here and task_type in TYPES_IN_TURN

    async def _run(self, assignment: Assignment, offer: Offered, offered: float) -> Outcome:
        loop = asyncio.get_running_loop()
        if self._draining or self._suspended:
            return Refused("the worker takes no tasks now", retry_in=HELD_PAUSE)
        claiming = asyncio.create_task(self._claims.claim(assignment))
        try:
            claim = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # The claim may already be granted, with its answer under way: give it back.
            await offer.finish(self._give_up(claiming))
            raise
        if not isinstance(claim, Claim):
            return claim
        # A claim that was granted late may be of a lease that was lost and replaced meanwhile: nothing guards its run.
        if self._suspended or claim.worker_id != self._worker_id():
            await offer.finish(self._give_up(claiming))
            return Refused("the worker lost its lease", retry_in=HELD_PAUSE)
        waited = loop.time() - offered
        limit = time_limit(self._registry.get_handler(claim.task_type), claim, assignment.limit_seconds, waited)
        if limit is None:
            await offer.finish(self._give_up(claiming))
            return Refused(f"its claim was granted after {waited:.0f} seconds", retry_in=HELD_PAUSE)
        fault_points.passing("after_claim")
        payload = assignment.payload if assignment.payload is not None else claim.payload or {}
        reporter = ProgressReporter(self._transitions, claim)
        work = asyncio.create_task(self._handle(claim, payload, reporter), name=f"task {claim.task_id}")
        run = self._runs[claim.task_id] = Run(claim, limit, work)
        timer = loop.call_later(limit.seconds, self._cancel, run, TIMED_OUT)
        self._works.add(run.work)
        run.work.add_done_callback(self._works.discard)
        try:
            return await self._endings.conclude(run, reporter)
        except asyncio.CancelledError:
            await offer.finish(self._leave(run, reporter))
            raise
        finally:
            timer.cancel()
            if self._runs.get(claim.task_id) is run:
                del self._runs[claim.task_id]

    # Stopping -----------------------------------------------------------------------------------------------

    def stop(self, task_id: str, reason: str = "stopped") -> bool:
        """Cancel a running task; its result no longer counts. Returns whether it runs here."""
        run = self._runs.get(task_id)
        if run is None:
            self._claims.stopped(task_id)
            return False
        self._cancel(run, reason)
        return True

    def stop_all(self, reason: str) -> None:
        """Cancel everything at once: the grace of a drain is over (`drain`), or the lease is lost (`fenced`)."""
        for run in list(self._runs.values()):
            self._cancel(run, reason)

    def drain(self) -> None:
        """Take no new task."""
        self._draining = True

    def suspend(self) -> None:
        """The lease is lost: cancel everything, start nothing until `resume`."""
        self._suspended = True
        self.stop_all(FENCED)

    def resume(self) -> None:
        """There is a lease again."""
        self._suspended = False

    @property
    def is_idle(self) -> bool:
        """Whether no handler runs any more, not even an abandoned one."""
        return not self._busy

    async def wait_idle(self) -> None:
        """Return when no handler runs any more."""
        while busy := self._busy:
            await asyncio.wait(busy)

    def close(self) -> None:
        """The process ends: nothing more is reported of what still runs."""
        self._endings.close()

    @property
    def _busy(self) -> set[asyncio.Future[Any]]:
        return self._works | self._inline.busy | (self._isolated.busy if self._isolated else set())

    async def compare(self) -> None:
        """Compare the runs in this process with the rows of this worker: a run that lost its claim is cancelled, a row
        without a run is handed back.
        """
        await self._cancel_fenced()
        await self._hand_back_unknown()

    async def _hand_back_unknown(self) -> None:
        """Hand back claims that were granted after their offer was given up."""
        before = self._known.tasks()
        for task_id, attempt in await self._transitions.running_on(self._worker_id()):
            if task_id in before or task_id in self._known.tasks():
                continue
            if await self._transitions.hand_back(task_id, attempt):
                log.warning("task %s was claimed by this worker and did not run here; handed back", task_id)

    async def _cancel_fenced(self) -> None:
        mine = [(run.claim.task_id, run.claim.attempt) for run in self._runs.values() if run.reason is None]
        if not mine:
            return
        held = await self._transitions.still_running(mine)
        for task_id, attempt in mine:
            run = self._runs.get(task_id)
            if task_id not in held and run is not None and run.claim.attempt == attempt and not run.work.done():
                self._cancel(run, FENCED)

    def _cancel(self, run: Run, reason: str) -> None:
        if run.reason is None:
            run.reason = reason
            run.work.cancel(reason)
            asyncio.get_running_loop().call_later(CANCEL_GRACE, run.abandon)

    # Steps --------------------------------------------------------------------------------------------------

    async def _handle(self, claim: Claim, payload: Mapping[str, Any], reporter: ProgressReporter) -> None:
        handler = self._registry.get_handler(claim.task_type)
        if handler is None:
            raise UnknownTaskType(f"No handler for task type '{claim.task_type}'")
        full = for_handler(claim.task_id, claim.task_type, claim.group_id, payload)
        if self._isolated is not None and self._isolated.wants(handler):
            await self._isolated.run(claim, full, reporter)
        else:
            reporter.returned(await self._inline.run(handler, full, self._context(claim, reporter)))

    async def _leave(self, run: Run, reporter: ProgressReporter) -> None:
        """The engine takes the slot back. A run that has ended is reported; another one is handed back when its handler
        has ended.
        """
        if not run.work.done():
            self._cancel(run, DRAIN)
        await self._endings.conclude(run, reporter)

    async def _give_up(self, claiming: asyncio.Task[Claim | Outcome]) -> None:
        try:
            claim = await claiming
        except Exception as error:  # noqa: BLE001 - nothing was granted, or `compare` finds it
            log.debug("a claim that was given up: %s", type(error).__name__)
            return
        if isinstance(claim, Claim):
            await until_stored(lambda: self._reports.hand_back(claim))
