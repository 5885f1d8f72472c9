"""`RedisQueueWorker`: the gateway's own worker on the legacy wire (contract §5, quirks R1 and R3 to R9 resolved)."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta

from backends.errors import EngineError
from backends.port import WorkflowRef, WorkflowState
from backends.redis_queue import wire
from backends.redis_queue.link import Link
from workers.outcome import FENCED, Assignment, Completed, Failed, Kept, Outcome, Refused, Stopped, TaskRunner
from workers.redis_queue.inbox import Inbox, Offer
from workers.redis_queue.other_types import OtherTypes
from workers.redis_queue.wake_listener import BACKOFF, WakeListener
from workers.slots import FixedSlots, Slots

log = logging.getLogger(__name__)

_CHECK_SECONDS = 10.0
"""How often a worker prolongs its locks, and compares what it runs with what Redis believes it runs."""
_RUNNER_BROKE = timedelta(seconds=1)
_LEFT_SECONDS = 1.0
"""How long to leave a group whose next task only other workers can run."""
_MOST_AVOIDED = 100


class RedisQueueWorker:
    """Runs up to `slots` tasks at once, one per group, the oldest of a group first.

    A payload lies in a list of this worker's own while its task runs, under the group's lock, which is prolonged
    until the task is done. If the worker is lost, `RedisQueueEngine.release_worker` puts its payloads back.

    `worker_id` must be unique among living workers. `poll_seconds` is how often lists are checked without a
    wake-up; only that finds tasks of legacy producers. A lock lives `lock_seconds` without renewal. `timeout`
    limits each exchange with Redis, in seconds, and how long an end that cannot be reported is tried once the
    worker has been told to stop. Larger payloads than `max_payload_bytes` are set aside. `other_types` tells which
    tasks are left to other workers; without it none are.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        runner: TaskRunner,
        worker_id: str,
        slots: int | Slots,
        *,
        backend: str = "redis",
        poll_seconds: float = 0.1,
        lock_seconds: int = 300,
        timeout: float = 5.0,
        max_payload_bytes: int = 40 * 1024 * 1024,
        other_types: OtherTypes | None = None,
    ) -> None:
        self._runner = runner
        self._other_types = other_types
        self._slots = FixedSlots(slots) if isinstance(slots, int) else slots
        self._backend = backend
        self._poll = poll_seconds
        self._full_pause = (
            min(_CHECK_SECONDS, lock_seconds / 6) if isinstance(self._slots, FixedSlots) else poll_seconds
        )
        self._timeout = timeout
        self._check_seconds = min(_CHECK_SECONDS, lock_seconds / 6)
        self._link = Link(url, timeout=timeout)
        self._inbox = Inbox(self._link, worker_id, lock_seconds=lock_seconds, max_payload_bytes=max_payload_bytes)
        self._wakes = WakeListener(url, timeout=timeout)
        if isinstance(self._slots, FixedSlots):
            self._slots.on_room = self._wakes.wake
        self._jobs: dict[Offer, asyncio.Task[None]] = {}
        self._busy: set[Offer] = set()
        self._holders: dict[bytes, Offer] = {}
        self._unreported: list[Offer] = []
        """What Redis could not be told the end of, or has not ended. It stays in this worker's lists."""
        self._avoided: dict[bytes, float] = {}
        """Groups whose next task was left to others, and until when this worker passes them over."""
        self._stop = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once Redis has answered for the first time: from then on tasks are received."""

    @property
    def running(self) -> int:
        """How many slots are in use."""
        return len(self._busy)

    async def run(self, stop: asyncio.Event) -> None:
        """Receive tasks until `stop` is set, then wait for those that run. One call per worker.

        A cancelled call ends at once and leaves in Redis what a killed worker would.
        """
        self._stop = stop
        helpers = [asyncio.create_task(step()) for step in (self._wakes.listen, self._wake_at_stop)]
        try:
            await self._receive()
            await self._leave()
        finally:
            doomed = [*helpers, *self._jobs.values()]
            for task in doomed:
                task.cancel()
            await asyncio.gather(*doomed, return_exceptions=True)
            await self._link.close()

    # Receiving ----------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        failures = 0
        check_at = 0.0
        away = False
        while not self._stop.is_set():
            used = len(self._busy)
            full = not (self._slots.has_room(used) and self._slots.may_begin(used))
            try:
                if time.monotonic() >= check_at:
                    await self._check()
                    check_at = time.monotonic() + self._check_seconds
                offer = None if full else await self._inbox.receive(self._avoided_now())
            except EngineError as error:
                if not away:
                    log.warning("Redis is away, no tasks are taken: %s", error)
                away, check_at = True, 0.0
                failures += 1
                await self._pause(BACKOFF.compute(failures))
                continue
            if away:
                log.warning("Redis is back")
                away = False
            failures = 0
            self.ready.set()
            if offer is not None:
                self._begin(offer)
            else:
                await self._wakes.wait(self._full_pause if full else self._poll)

    def _avoided_now(self) -> list[bytes]:
        now = time.monotonic()
        self._avoided = {group: until for group, until in self._avoided.items() if until > now}
        return list(self._avoided)[-_MOST_AVOIDED:]

    async def _check(self) -> None:
        """Correct what Redis believes to run here."""
        for group in await self._inbox.renew(self._holders):
            name = group.decode("utf-8", "backslashreplace")
            log.warning("another worker holds the lock of group %s, which runs here", name)
        # An answer that was lost may have handed out a payload that nobody here knows of.
        await self._inbox.give_back_others([*self._jobs, *self._unreported])
        await self._inbox.sweep()

    async def _leave(self) -> None:
        """Wait for running tasks. A task that cannot be reported stays in its list for `release_worker`, whose caller
        knows how it ended: in its group again, a legacy worker would run it a second time.
        """
        while self._jobs:
            await asyncio.wait(self._jobs.values(), timeout=self._check_seconds)
            try:
                await self._inbox.renew(self._holders)
            except EngineError as error:
                log.debug("locks not prolonged: %s", error)
        try:
            if self._unreported:
                await self._inbox.give_back_others(self._unreported)
            else:
                await self._inbox.leave()
        except EngineError as error:
            log.warning("could not sign off from Redis: %s", error)

    def _begin(self, offer: Offer) -> None:
        self._busy.add(offer)
        self._holders[offer.group] = offer
        job = asyncio.create_task(self._work(offer))
        self._jobs[offer] = job
        job.add_done_callback(lambda _: self._forget(offer))

    def _forget(self, offer: Offer) -> None:
        self._jobs.pop(offer, None)
        self._busy.discard(offer)
        if self._holders.get(offer.group) is offer:
            del self._holders[offer.group]
        self._wakes.wake()

    # One task -----------------------------------------------------------------------------------------------

    async def _work(self, offer: Offer) -> None:
        try:
            message, group = self._read(offer)
        except wire.NotATask as error:
            reason = str(error)
            log.warning("set aside what is no task: %s (%d bytes)", reason, offer.size)
            await self._report(offer, lambda: self._inbox.set_aside(offer, reason, release=self._holds(offer)))
            return
        if self._other_types is not None and await self._other_types.are_left(message.task_type):
            self._avoided[offer.group] = time.monotonic() + _LEFT_SECONDS
            await self._report(offer, lambda: self._inbox.put_back(offer, release=self._holds(offer)))
            return
        outcome = await self._run(
            Assignment(
                task_id=message.task_id,
                backend=self._backend,
                epoch=message.epoch,
                payload=message.payload,
                task_type=message.task_type,
                group_id=group,
                trace=message.trace,
            )
        )
        if isinstance(outcome, Kept):
            # In its group again, another worker would drop it, and a legacy worker would run it beside the handler.
            self._unreported.append(offer)
            return
        if isinstance(outcome, Refused) and outcome.retry_in is not None:
            # Waits without a slot, but under the group's lock: the tasks behind it must not overtake it.
            self._busy.discard(offer)
            self._wakes.wake()
            await self._pause(outcome.retry_in.total_seconds())
        await self._report(offer, lambda: self._tell(offer, message, group, outcome))

    def _read(self, offer: Offer) -> tuple[wire.TaskMessage, str]:
        if offer.size > self._inbox.max_payload_bytes:
            raise wire.NotATask("too large")
        try:
            group = offer.group.decode("utf-8")
        except UnicodeDecodeError:
            raise wire.NotATask("the name of the group is not UTF-8") from None
        return wire.decode(offer.payload), group

    async def _run(self, assignment: Assignment) -> Outcome:
        try:
            return await self._runner.run(assignment)
        except Exception as error:  # noqa: BLE001 - a runner that broke must not take the queue with it
            trace = "".join(traceback.format_tb(error.__traceback__))
            log.error("the runner broke at task %s: %s\n%s", assignment.task_id, type(error).__name__, trace)
            return Refused("the runner broke", retry_in=_RUNNER_BROKE)

    async def _tell(self, offer: Offer, message: wire.TaskMessage, group: str, outcome: Outcome) -> None:
        release = self._holds(offer)
        workflow_id = ""
        if message.epoch is not None:
            workflow_id = WorkflowRef(message.task_id, message.epoch, group, message.task_type).workflow_id
        match outcome:
            case Completed(result):
                state, error, value = WorkflowState.COMPLETED, "", result
            case Failed(text):
                state, error, value = WorkflowState.FAILED, text, None
            case Stopped(reason) if reason == FENCED:
                # PostgreSQL knows what becomes of the task. An end noted here would become the task's own.
                return await self._inbox.drop(offer, release=release)
            case Stopped(reason):
                state, error, value = WorkflowState.CANCELLED, reason, None
            case Refused(reason, retry_in=None, set_aside=True):
                log.warning("a payload of group %s was set aside: %s", group, reason)
                return await self._inbox.set_aside(offer, reason, release=release)
            case Refused(retry_in=None):
                return await self._inbox.drop(offer, release=release)
            case Refused():
                return await self._inbox.put_back(offer, release=release)
        await self._inbox.end(offer, workflow_id, state, error, value, release=release)

    def _holds(self, offer: Offer) -> bool:
        """Whether the group's lock belongs to this task: the group may have been given away and taken again since."""
        return self._holders.get(offer.group) is offer

    async def _report(self, offer: Offer, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat until Redis has taken it; after the worker was told to stop, for `timeout` at most."""
        failures = 0
        give_up_at: float | None = None
        while True:
            try:
                return await step()
            except EngineError as error:
                if self._stop.is_set():
                    give_up_at = give_up_at or time.monotonic() + self._timeout
                    if time.monotonic() >= give_up_at:
                        log.warning("an end could not be reported to Redis: %s", error)
                        self._unreported.append(offer)
                        return
                    failures += 1
                    await asyncio.sleep(BACKOFF.compute(failures))
                else:
                    failures += 1
                    await self._pause(BACKOFF.compute(failures))

    # Beside -------------------------------------------------------------------------------------------------

    async def _wake_at_stop(self) -> None:
        await self._stop.wait()
        self._wakes.wake()

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past the word to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return
