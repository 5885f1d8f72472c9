"""The activity `taskgate.run_task`: hands a task to the runner, and reports its outcome to Temporal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from backends.temporal import names
from backends.temporal.messages import RunTask, message_of
from backends.temporal.payloads import carried_result
from backends.temporal.starts import TIMEOUT_MARGIN
from workers.outcome import FENCED, Assignment, Completed, Failed, Kept, Outcome, Refused, Stopped, TaskRunner
from workers.temporal.slots import SharedSlots

log = logging.getLogger(__name__)

#: Temporal reads a delay of zero as "as the retry policy says".
AT_ONCE = timedelta(milliseconds=1)
#: Until a task is offered again whose claim is still held.
KEPT_PAUSE = timedelta(seconds=1)
#: How long a task that arrived while all slots were in use waits for one before it goes back to its queue.
ADMISSION_SECONDS = 1.0
#: Heartbeats of one process, per second, as long as the two bounds of `beat_interval` allow it.
BEATS_PER_SECOND = 4.0
SHORTEST_BEAT = 5.0
_LONGEST_MESSAGE = 8000


class RunTaskActivity:
    """Runs tasks of every type in this process."""

    def __init__(self, runner: TaskRunner, slots: SharedSlots) -> None:
        self._runner = runner
        self._slots = slots
        self._running: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._leaving = False

    @property
    def running(self) -> int:
        return len(self._running)

    @activity.defn(name=names.RUN_TASK)
    async def run_task(self, received: Any) -> Any:
        """Returns the result; every other end is an exception that says what Temporal has to do next.

        `received` is a `RunTask` as plain JSON: the SDK's converter takes longer to make one of it than a claim does.
        """
        message = received if isinstance(received, RunTask) else message_of(received)
        if self._closed:
            raise _again("the worker is shutting down", AT_ONCE)
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self._idle.clear()
        beats = _Beats(lambda: self.running)
        try:
            async with self._slots.admission(ADMISSION_SECONDS) as admitted:
                if not admitted:
                    raise _again("the worker has no free slot", AT_ONCE)
                outcome = await self._outcome(_assignment(message), beats)
            return _told(outcome)
        except asyncio.CancelledError:
            if self._leaving and not _cancelled_by_temporal():
                raise _again("the worker is shutting down", AT_ONCE) from None
            if _is_given_up():
                raise _again("Temporal offers the task again already", AT_ONCE) from None
            raise
        finally:
            beats.cancel()
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    async def _outcome(self, assignment: Assignment, beats: _Beats) -> Outcome:
        """Of the run, which goes on when Temporal gives it up: other offers of its task are refused until it has ended.

        PostgreSQL alone decides who holds a task. It hears of stops without Temporal, and the runner of lost claims.
        """
        task, run = asyncio.current_task(), asyncio.create_task(self._runner.run(assignment))
        assert task is not None
        while True:
            try:
                return await asyncio.shield(run)
            except asyncio.CancelledError:
                if self._leaving or run.done() or not _is_given_up():
                    run.cancel()
                    return await run
                log.warning("Temporal has missed the heartbeats of task %s; its run goes on", assignment.task_id)
                task.uncancel()
                beats.cancel()

    def close(self) -> None:
        """Send tasks that still arrive back to their queue at once."""
        self._closed = True

    async def leave(self, grace: timedelta) -> None:
        """Wait for running tasks; after `grace`, cancel them, so that they run again on another worker."""
        try:
            async with asyncio.timeout(grace.total_seconds()):
                await self._idle.wait()
        except TimeoutError:
            log.warning("%d tasks still run after the grace: they go back to their queues", self.running)
        self._leaving = True
        for task in list(self._running):
            task.cancel()
        await self._idle.wait()


class _Beats:
    """Heartbeats of the present activity, until cancelled: they keep Temporal's last net from catching a task that
    lives, and bring cancels that came by no other way. A timer rather than a task, because most tasks end before the
    first beat.
    """

    def __init__(self, running: Callable[[], int]) -> None:
        self._running = running
        self._timeout = activity.info().heartbeat_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        if self._timeout is not None:
            # The timer runs in a copy of the present context, which is what tells the SDK whose beat it is.
            pause = beat_interval(self._running(), self._timeout)
            self._timer = asyncio.get_running_loop().call_later(pause, self._beat)

    def _beat(self) -> None:
        self._wait()
        activity.heartbeat()


def beat_interval(running: int, timeout: timedelta) -> float:
    """Seconds between two heartbeats of one task.

    A beat is a write in Temporal's database (4 ms of processor time), so a process spends a fixed budget on them:
    each of 20 tasks beats every 5 s, each of 100 every 25 s, but always three times within the timeout.
    """
    longest = timeout.total_seconds() / 3
    return min(max(running / BEATS_PER_SECOND, SHORTEST_BEAT), longest)


def _assignment(message: RunTask) -> Assignment:
    return Assignment(
        task_id=message.task_id,
        backend=names.ENGINE,
        epoch=message.epoch,
        payload=message.payload,
        task_type=message.task_type,
        group_id=message.group_id,
        engine_attempt=activity.info().attempt,
        trace=message.trace,
        limit_seconds=limit_of(activity.info().start_to_close_timeout),
    )


def limit_of(start_to_close: timedelta | None) -> float | None:
    """Seconds that a run may take, so that there is time to report it before Temporal cuts it off and offers it again.

    Longer than the limit of a handler that the gateway knows. None: no gateway allows so little.
    """
    limit = start_to_close - TIMEOUT_MARGIN / 2 if start_to_close else timedelta()
    return limit.total_seconds() if limit > timedelta() else None


def _told(outcome: Outcome) -> Any:
    """The outcome in Temporal's terms."""
    match outcome:
        case Completed(result):
            return carried_result(result)
        case Failed(error, error_type, None):
            raise _over(error, error_type)
        case Failed(error, error_type, retry_in):
            raise _again(error, retry_in or AT_ONCE, error_type)
        case Refused(reason, None):
            raise _over(reason, "Superseded")
        case Refused(reason, retry_in):
            raise _again(reason, retry_in or AT_ONCE)
        case Kept():
            raise _again("its handler goes on in a worker that ends", KEPT_PAUSE)
        case Stopped(reason) if reason == FENCED:
            # PostgreSQL knows who holds the task now; the next attempt learns it at its claim.
            raise _again("the worker lost its claim", AT_ONCE)
        case Stopped(reason):
            if _cancelled_by_temporal():
                raise asyncio.CancelledError
            raise _over(f"stopped: {reason}", "Stopped")


# "Benign" only means that the SDK keeps quiet about it: the runner has logged and counted what there is to say.


def _over(reason: str, kind: str) -> ApplicationError:
    """The error that ends this start for good."""
    return ApplicationError(
        reason[:_LONGEST_MESSAGE], type=kind, non_retryable=True, category=ApplicationErrorCategory.BENIGN
    )


def _again(reason: str, delay: timedelta, kind: str = "Refused") -> ApplicationError:
    """Offer the task again after the delay."""
    return ApplicationError(
        reason[:_LONGEST_MESSAGE],
        type=kind,
        next_retry_delay=max(delay, AT_ONCE),
        category=ApplicationErrorCategory.BENIGN,
    )


def _cancelled_by_temporal() -> bool:
    """Whether Temporal itself asked for the end, so that it takes a cancellation."""
    details = activity.cancellation_details()
    return details is not None and not details.worker_shutdown and not _is_given_up()


def _is_given_up() -> bool:
    """Whether Temporal takes the worker for lost, or has begun the task anew: nobody asked for the end of the run."""
    details = activity.cancellation_details()
    if details is None or not (details.not_found or details.timed_out):
        return False
    return not (details.cancel_requested or details.worker_shutdown)
