"""Reports that somebody watches: told whenever something of one changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Generic, TypeVar

from gateway.errors import DatabaseUnavailable

Report = TypeVar("Report")

#: Pause between two looks (seconds).
LOOK_SECONDS: Final = 1.0


class ReportSubscription(Generic[Report]):
    """One who watches; from `open` to `close`."""

    def __init__(self, watch: ReportWatch[Report], look: Callable[[], Awaitable[Report]]) -> None:
        self.look = look
        self._watch = watch
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def open(self) -> ReportSubscription[Report]:
        """Begin; closed at once when the process is shutting down."""
        self._watch.add(self)
        return self

    def close(self) -> None:
        """End it; whoever waits is told."""
        self._watch.remove(self)
        self._closed.set()

    async def pause(self) -> None:
        """Until it is time to look again, or until it is closed."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._closed.wait()
        except TimeoutError:
            pass


class ReportWatch(Generic[Report]):
    """The subscriptions of this process to one kind of report. Belongs to one event loop."""

    def __init__(self, is_same: Callable[[Report, Report], bool]) -> None:
        """`is_same`: nobody need be told the later one of these two."""
        self._is_same = is_same
        self._open: set[ReportSubscription[Report]] = set()
        self._is_over = False

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return len(self._open)

    def watch(self, look: Callable[[], Awaitable[Report]]) -> ReportSubscription[Report]:
        """Whoever watches at the same time should share what `look` reads."""
        return ReportSubscription(self, look)

    def add(self, subscription: ReportSubscription[Report]) -> None:
        if self._is_over:
            subscription.close()
        else:
            self._open.add(subscription)

    def remove(self, subscription: ReportSubscription[Report]) -> None:
        self._open.discard(subscription)

    def end_streams(self) -> None:
        """End every subscription, now and from now on."""
        self._is_over = True
        for subscription in list(self._open):
            subscription.close()

    async def follow(self, subscription: ReportSubscription[Report], *, quiet: float) -> AsyncIterator[Report | None]:
        """The report as it stands, then each that differs from the one before; None after `quiet` seconds without one.

        It ends when the subscription is closed. Raises what the report does, but `DatabaseUnavailable` only before the
        first.
        """
        loop = asyncio.get_running_loop()
        shown: Report | None = None
        since = loop.time()
        while not subscription.is_closed:
            try:
                report = await subscription.look()
            except DatabaseUnavailable:
                if shown is None:
                    raise
                report = shown  # it goes on when PostgreSQL is back
            if shown is None or not self._is_same(shown, report):
                shown, since = report, loop.time()
                yield report
            elif loop.time() - since >= quiet:
                since = loop.time()
                yield None
            await subscription.pause()
