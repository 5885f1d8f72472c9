"""Ends of runs: what they are reported as, by what became of the handler and why it was cancelled."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.tasks import fault_points
from gateway.tasks.lifecycle.claim import Claim
from workers.known_tasks import KnownTasks
from workers.outage_retry import until_stored, until_taken
from workers.outcome import Kept, Outcome, Refused, Stopped
from workers.progress import ProgressReporter
from workers.reports import Reports
from workers.slots import FixedSlots
from workers.time_limit import TimeLimit

log = logging.getLogger(__name__)

TIMED_OUT = "timeout"
#: The worker ends, or the engine takes the slot back.
DRAIN = "drain"


@dataclass(slots=True)
class Run:
    """A task under way in this process."""

    claim: Claim
    limit: TimeLimit
    work: asyncio.Task[None]
    reason: str | None = None
    """Why it was cancelled: `stopped`, `fenced`, `drain` or `timeout`."""
    abandoned: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Done when the runner stops waiting for a handler that ignores its cancellation."""

    def abandon(self) -> None:
        if not self.abandoned.done():
            self.abandoned.set_result(None)


class Endings:
    """Of the runs of one worker process."""

    def __init__(self, reports: Reports, known: KnownTasks, slots: FixedSlots) -> None:
        self._reports = reports
        self._known = known
        self._slots = slots
        self._outlasting: set[asyncio.Task[Outcome]] = set()

    def close(self) -> None:
        """Report nothing more of what still runs."""
        for outlasting in self._outlasting:
            outlasting.cancel()

    async def conclude(self, run: Run, reporter: ProgressReporter) -> Outcome:
        """Wait for the handler, or until it is abandoned, and report its end."""
        with self._slots.inside():
            await asyncio.wait({run.work, run.abandoned}, return_when=asyncio.FIRST_COMPLETED)
        claim = run.claim
        if run.reason == DRAIN:
            if run.work.done():
                return await self._finish_drained(run, reporter)
            log.warning("task %s ignores its cancellation; it keeps its claim for as long as it runs", claim.task_id)
            outlasting = asyncio.create_task(self._outlast(run, reporter))
            self._outlasting.add(outlasting)
            outlasting.add_done_callback(self._outlasting.discard)
            return Kept()
        if run.reason not in (None, TIMED_OUT):
            if not run.work.done():
                log.warning("task %s ignores its cancellation; abandoned", claim.task_id)
            elif not run.work.cancelled():
                run.work.exception()  # retrieved: the exception of a cancelled handler does not matter
            return Stopped(str(run.reason))
        error = self._error_of(run)
        fault_points.passing("before_report")
        if error is None:
            outcome = await self._report_success(run, reporter)
        else:
            outcome = await until_taken(claim.task_id, lambda: self._reports.failure(claim, error))
        fault_points.passing("after_report")
        return outcome

    async def _finish_drained(self, run: Run, reporter: ProgressReporter) -> Outcome:
        """The handler was to end early. If it completed nevertheless, that counts; else its task runs again."""
        if self._error_of(run) is None:
            return await self._report_success(run, reporter)
        await until_stored(lambda: self._reports.hand_back(run.claim))
        return Refused("the worker is shutting down", retry_in=timedelta(milliseconds=1))

    async def _outlast(self, run: Run, reporter: ProgressReporter) -> Outcome:
        """Handed back now, the task would begin elsewhere beside its handler. If this process ends before the handler,
        the end of its lease gives the task back.
        """
        with self._known.entered(run.claim.task_id):
            await asyncio.wait({run.work})
            return await self._finish_drained(run, reporter)

    async def _report_success(self, run: Run, reporter: ProgressReporter) -> Outcome:
        return await until_taken(
            run.claim.task_id, lambda: self._reports.success(run.claim, reporter.result, reporter.unwritten)
        )

    def _error_of(self, run: Run) -> BaseException | None:
        """The error of the handler. If it ignores its time limit, it is abandoned; if it completes nevertheless, that
        counts.
        """
        error: BaseException | None = None
        if run.work.done():
            try:
                run.work.result()
            except BaseException as raised:  # noqa: BLE001 - whatever it raises belongs to the run
                error = raised
            else:
                return None
        if run.reason == TIMED_OUT:
            late = TimeoutError(run.limit.error)
            late.__cause__ = error
            return late
        return error
