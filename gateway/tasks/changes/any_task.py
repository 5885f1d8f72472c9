"""Which tasks have changed, of all there are: for lists, which do not know beforehand what they will show.

The listener of the process receives notifications. A change that nobody announces (of an unmodified legacy worker) is
seen when the gateway takes it over, which announces it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Self

from gateway.storage.listener import Listener
from gateway.tasks.changes.arrivals import ARRIVALS_CHANNEL, Arrivals
from gateway.tasks.changes.notifier import CHANGES_CHANNEL, unpack

#: Ids that one call of `changes` gives.
BATCH: Final = 500
#: A reader for whom more ids than these wait is told to read everything anew.
_MOST: Final = 5000


@dataclass(frozen=True)
class Changed:
    """Ids of tasks. `missed`: there were more, which are not known."""

    ids: list[str]
    missed: bool = False


class AnyTaskSubscription:
    """What changed since it was last asked; from `open` to `close`. For one reader at a time."""

    def __init__(self, watch: AnyTaskWatch) -> None:
        self._watch = watch
        self._ids: dict[str, None] = {}
        self._missed = False
        self._changed = asyncio.Event()
        self.is_closed = False

    def open(self) -> Self:
        """Begin; closed at once when the process is shutting down."""
        self._watch.add(self)
        return self

    def close(self) -> None:
        """End it; whoever waits is told."""
        self.is_closed = True
        self._watch.remove(self)
        self._changed.set()

    async def changes(self, timeout: float) -> Changed | None:
        """The next ones, the first heard first; None after `timeout` seconds without any, or when it is closed."""
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return None
        ids = list(islice(self._ids, BATCH))
        for task_id in ids:
            del self._ids[task_id]
        missed, self._missed = self._missed, False
        if not self._ids and not self.is_closed:
            self._changed.clear()
        return Changed(ids, missed) if ids or missed else None

    def deliver(self, ids: Iterable[str]) -> None:
        self._ids.update(dict.fromkeys(ids))
        if len(self._ids) > _MOST:
            self.miss()
        self._changed.set()

    def miss(self) -> None:
        """Something may have changed that is not known."""
        self._ids.clear()
        self._missed = True
        self._changed.set()


class AnyTaskWatch:
    """The subscriptions of this process. Belongs to one event loop."""

    def __init__(self, listener: Listener, arrivals: Arrivals) -> None:
        listener.subscribe(CHANGES_CHANNEL, self._heard, missed=self._missed)
        listener.subscribe(ARRIVALS_CHANNEL, self._heard)
        self._arrivals = arrivals
        self._open: set[AnyTaskSubscription] = set()
        self._is_over = False

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return len(self._open)

    def subscribe(self) -> AnyTaskSubscription:
        return AnyTaskSubscription(self)

    def add(self, subscription: AnyTaskSubscription) -> None:
        if self._is_over:
            subscription.is_closed = True
        else:
            self._open.add(subscription)
            self._arrivals.follow()

    def remove(self, subscription: AnyTaskSubscription) -> None:
        if subscription in self._open:
            self._open.discard(subscription)
            self._arrivals.leave()

    def end_streams(self) -> None:
        """End every subscription, now and from now on."""
        self._is_over = True
        for subscription in list(self._open):
            subscription.close()

    def _heard(self, payload: str) -> None:
        if not self._open:
            return
        if not (ids := unpack(payload)):
            self._missed()
        for subscription in self._open:
            subscription.deliver(ids)

    def _missed(self) -> None:
        for subscription in self._open:
            subscription.miss()
