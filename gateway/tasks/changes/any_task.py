"""Which tasks have changed, of all there are: for lists, which do not know beforehand what they will show.

The listener of the process receives notifications. A change that nobody announces (of an unmodified legacy worker) is
seen when the gateway takes it over, which announces it.
"""

from __future__ import annotations

from typing import Final

from gateway.storage.gathering import GatheringSubscription, GatheringWatch
from gateway.storage.listener import Listener
from gateway.tasks.changes.arrivals import ARRIVALS_CHANNEL, Arrivals
from gateway.tasks.changes.notifier import CHANGES_CHANNEL, unpack

#: Ids that one call of `changes` gives.
BATCH: Final = 500
#: A reader for whom more ids than these wait is told to read everything anew.
_MOST: Final = 5000


class AnyTaskWatch(GatheringWatch[str]):
    """Ids of tasks. While somebody follows, acceptances are announced, too."""

    def __init__(self, listener: Listener, arrivals: Arrivals) -> None:
        super().__init__(batch=BATCH, most=_MOST)
        listener.subscribe(CHANGES_CHANNEL, self._heard, missed=self.miss)
        listener.subscribe(ARRIVALS_CHANNEL, self._heard)
        self._arrivals = arrivals

    def add(self, subscription: GatheringSubscription[str]) -> None:
        super().add(subscription)
        if subscription in self._open:
            self._arrivals.follow()

    def remove(self, subscription: GatheringSubscription[str]) -> None:
        if subscription in self._open:
            super().remove(subscription)
            self._arrivals.leave()

    def _heard(self, payload: str) -> None:
        if not self._open:
            return
        if ids := unpack(payload):
            self.deliver(ids)
        else:
            self.miss()
