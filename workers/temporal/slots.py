"""One number of slots for all queues that a process polls.

The SDK reserves a slot before each poll, per queue, and holds it while the poll waits, for a minute on an empty
queue. Thirty queues and twenty slots would leave ten queues without a poller. So a slot is counted here only while
a task uses it, or while a fresh poll may bring one: a poll that brought nothing for `settle` seconds is parked on an
empty queue and costs nothing. With all slots in use no new poll starts; polls that were parked may still bring at
most one task each, which waits for a slot and, when none comes free, goes back to its queue for another worker.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

from temporalio.worker import (
    CustomSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
)

from workers.slots import FixedSlots, Slots

#: A poll on a queue that has tasks is mostly answered sooner than this; a late one brings a task too many, at worst.
SETTLE_SECONDS = 0.05
#: A task that Temporal has marked as started reaches its worker within this time, even on an overloaded machine.
QUIET_SECONDS = 0.5
#: Pause between checks of a machine that cannot take a further task.
LOOK_SECONDS = 0.1


class _State(Enum):
    FRESH = "fresh"
    PARKED = "parked"
    USED = "used"
    OVER = "over"


class _Permit(SlotPermit):
    def __init__(self) -> None:
        self.state = _State.FRESH


@dataclass(slots=True)
class Usage:
    """A look at the slots: `used` by tasks, `fresh` polls that are counted, `waiting` polls that are held back."""

    total: int
    used: int
    fresh: int
    waiting: int


class SharedSlots(CustomSlotSupplier):
    """The slots of one process; the same object serves every `Worker` in it.

    The SDK calls `mark_slot_used` and `release_slot` on its own threads, the rest on the event loop. The SDK's own
    supplier by resources is not used: polls that it begins cannot be ended without loss (see `close`).
    """

    def __init__(self, slots: int | Slots, *, settle: float = SETTLE_SECONDS, quiet: float = QUIET_SECONDS) -> None:
        self._slots = FixedSlots(slots) if isinstance(slots, int) else slots
        if isinstance(self._slots, FixedSlots):
            self._slots.on_room = self._wake
        self._looking: asyncio.TimerHandle | None = None
        self._settle = settle
        self._quiet = quiet
        self._used = 0
        self._fresh = 0
        self._polls = 0
        self._no_polls = asyncio.Event()
        self._waiting: deque[asyncio.Future[_Permit]] = deque()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._admission = asyncio.Semaphore(self._slots.limit)
        self._closed = False
        self._last_move = 0.0

    @property
    def usage(self) -> Usage:
        with self._lock:
            return Usage(self._slots.limit, self._used, self._fresh, len(self._waiting))

    @asynccontextmanager
    async def admission(self, patience: float) -> AsyncIterator[bool]:
        """Holds one of the slots for a task that has arrived; False when none came free in `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._admission.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._admission.release()

    async def close(self) -> None:
        """Let no new poll begin, and return when those under way can bring no more tasks.

        Cutting off a poll loses the task that is just being handed to it: Temporal counts it as started, and only
        its heartbeat timeout brings it back (seen with one in three stops at 100 tasks/s, also with the server's
        own `frontend.enableCancelWorkerPollsOnShutdown`). A poll that waits on an empty queue may be cut off.
        """
        self._closed = True
        while (passed := time.monotonic() - self._last_move) < self._quiet:
            await asyncio.sleep(self._quiet - passed)

    async def polls_ended(self) -> None:
        """Return when no poll is under way any more. What goes back to its queue before that may be handed to one that
        is just cut off."""
        while self._polls:
            self._no_polls.clear()
            await self._no_polls.wait()

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        loop = self._loop = asyncio.get_running_loop()
        with self._lock:
            if not self._closed and not self._waiting and self._has_room():
                return self._issue(loop)
            turn: asyncio.Future[_Permit] = loop.create_future()
            self._waiting.append(turn)
            self._look_again(loop)
        try:
            return await turn
        except asyncio.CancelledError:
            with self._lock:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif not turn.cancelled():
                    self._drop(turn.result())
            self._grant()
            raise

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """For eager activities, which taskgate does not use."""
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        permit = ctx.permit
        assert isinstance(permit, _Permit)
        with self._lock:
            self._drop(permit)
            permit.state = _State.USED
            self._last_move = time.monotonic()
            self._used += 1

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        permit = ctx.permit
        assert isinstance(permit, _Permit)
        with self._lock:
            self._drop(permit)
        self._wake()

    def _has_room(self) -> bool:
        return self._slots.has_room(self._used + self._fresh) and self._slots.may_begin(self._used)

    def _issue(self, loop: asyncio.AbstractEventLoop) -> _Permit:
        """A fresh permit; under the lock, on the loop."""
        permit = _Permit()
        self._fresh += 1
        self._polls += 1
        self._last_move = time.monotonic()
        loop.call_later(self._settle, self._park, permit)
        return permit

    def _park(self, permit: _Permit) -> None:
        with self._lock:
            if permit.state is not _State.FRESH:
                return
            permit.state = _State.PARKED
            self._fresh -= 1
        self._grant()

    def _drop(self, permit: _Permit) -> None:
        """Stop counting the permit; under the lock."""
        if permit.state is _State.FRESH:
            self._fresh -= 1
        elif permit.state is _State.USED:
            self._used -= 1
        if permit.state in (_State.FRESH, _State.PARKED):
            self._polls -= 1
            if not self._polls:
                self._call(self._no_polls.set)
        permit.state = _State.OVER

    def _grant(self) -> None:
        """Start the polls that waited longest, as far as there are slots; on the loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            while not self._closed and self._waiting and self._has_room():
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(self._issue(loop))
            self._look_again(loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check again later: no event tells that a machine has become less busy; under the lock."""
        if isinstance(self._slots, FixedSlots) or self._looking is not None or not self._waiting or self._closed:
            return
        self._looking = loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = None
        self._grant()

    def _wake(self) -> None:
        self._call(self._grant)

    def _call(self, function: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(function)
