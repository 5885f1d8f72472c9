"""What is told to those who follow in this process: gathered until each of them asks, every thing once."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Self, TypeVar

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True)
class Gathered(Generic[Item]):
    """The first heard first. `missed`: there were more, which are not known."""

    items: list[Item]
    missed: bool = False


class GatheringSubscription(Generic[Item]):
    """What was told since it was last asked; from `open` to `close`. For one reader at a time."""

    def __init__(self, watch: GatheringWatch[Item]) -> None:
        self._watch = watch
        self._items: dict[Item, None] = {}
        self._missed = False
        self._woken = asyncio.Event()
        self.is_closed = False

    def open(self) -> Self:
        """Begin; closed at once when the process is shutting down."""
        self._watch.add(self)
        return self

    def close(self) -> None:
        """End it; whoever waits is told."""
        self.is_closed = True
        self._watch.remove(self)
        self._woken.set()

    async def changes(self, timeout: float) -> Gathered[Item] | None:
        """The next ones; None after `timeout` seconds without any, or when it is closed."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return None
        items = list(islice(self._items, self._watch.batch))
        for item in items:
            del self._items[item]
        missed, self._missed = self._missed, False
        if not self._items and not self.is_closed:
            self._woken.clear()
        return Gathered(items, missed) if items or missed else None

    def deliver(self, items: Iterable[Item]) -> None:
        self._items.update(dict.fromkeys(items))
        if len(self._items) > self._watch.most:
            self.miss()
        self._woken.set()

    def miss(self) -> None:
        """Something may have changed that is not known."""
        self._items.clear()
        self._missed = True
        self._woken.set()


class GatheringWatch(Generic[Item]):
    """The subscriptions of this process. Belongs to one event loop."""

    def __init__(self, *, batch: int, most: int) -> None:
        """`batch`: so many are given at once. A reader for whom more than `most` wait is told to read all anew."""
        self.batch = batch
        self.most = most
        self._open: set[GatheringSubscription[Item]] = set()
        self._is_over = False

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return len(self._open)

    def subscribe(self) -> GatheringSubscription[Item]:
        return GatheringSubscription(self)

    def add(self, subscription: GatheringSubscription[Item]) -> None:
        if self._is_over:
            subscription.is_closed = True
        else:
            self._open.add(subscription)

    def remove(self, subscription: GatheringSubscription[Item]) -> None:
        self._open.discard(subscription)

    def end_streams(self) -> None:
        """End every subscription, now and from now on."""
        self._is_over = True
        for subscription in list(self._open):
            subscription.close()

    def deliver(self, items: Iterable[Item]) -> None:
        """Tell everybody."""
        told = list(items)
        for subscription in self._open:
            subscription.deliver(told)

    def miss(self) -> None:
        """Tell everybody that something may have changed that is not known."""
        for subscription in self._open:
            subscription.miss()
