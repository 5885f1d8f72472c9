"""What is in force on this gateway, told to whoever watches as it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from gateway.migration.stages.view import override_view, stages_said
from gateway.routing.flag_document import Json
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Overrides
from gateway.routing.router import Router

#: Events that wait for one who watches.
MOST_EVENTS: Final = 100


class StageSubscription:
    """Tells of changes until it is closed; who waits for one is told."""

    def __init__(self, watch: StageWatch) -> None:
        self._watch = watch
        self._woken = asyncio.Event()
        self._events: deque[Json] = deque(maxlen=MOST_EVENTS)
        self.is_closed = False

    def close(self) -> None:
        """End it; whoever waits is told."""
        self.is_closed = True
        self._watch.remove(self)
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    def tell(self, event: Json) -> None:
        """Of something that a guardrail did; who is too slow for `MOST_EVENTS` misses the oldest."""
        self._events.append(event)
        self._woken.set()

    async def changes(self, patience: float) -> AsyncIterator[tuple[str, Json] | None]:
        """`stages`: what is in force, then what is after each change; `guardrail`: what guardrails do meanwhile.

        None after `patience` seconds without either.
        """
        shown = None
        while not self.is_closed:
            self._woken.clear()
            while self._events:
                yield "guardrail", self._events.popleft()
            state = self._watch.in_force()
            if state != shown:
                shown = state
                yield "stages", state
                continue
            try:
                async with asyncio.timeout(patience):
                    await self._woken.wait()
            except TimeoutError:
                yield None


class StageWatch:
    """The subscriptions of this process. Belongs to one event loop; flag and overrides tell it on whatever thread."""

    def __init__(self, flags: FlagSource, overrides: Overrides, router: Router) -> None:
        self._flags = flags
        self._overrides = overrides
        self._router = router
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscriptions: set[StageSubscription] = set()
        self._is_over = False
        flags.add_listener(self._changed)
        overrides.add_listener(self._changed)

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return len(self._subscriptions)

    def in_force(self) -> Json:
        """Stages, overrides and complaints, from memory."""
        return {
            "flag": self._flags.flag_key,
            "owner": self._flags.owner,
            "version": self._flags.version,
            **stages_said(self._flags.document()),
            "overrides": [override_view(row) for row in self._overrides.rows()],
            "problems": self._router.problems(),
        }

    def tell(self, event: Json) -> None:
        """Pass an event of a guardrail on."""
        for subscription in self._subscriptions:
            subscription.tell(event)

    def subscribe(self) -> StageSubscription:
        """Closed at once when the process is shutting down."""
        self._loop = asyncio.get_running_loop()
        subscription = StageSubscription(self)
        if self._is_over:
            subscription.is_closed = True
        else:
            self._subscriptions.add(subscription)
        return subscription

    def remove(self, subscription: StageSubscription) -> None:
        self._subscriptions.discard(subscription)

    def end_streams(self) -> None:
        """End every subscription, now and from now on."""
        self._is_over = True
        for subscription in list(self._subscriptions):
            subscription.close()

    def _changed(self) -> None:
        if self._subscriptions and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for subscription in self._subscriptions:
            subscription.wake()
