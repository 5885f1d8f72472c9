"""Drains that somebody watches: a report whenever something of it changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.errors import DatabaseUnavailable
from gateway.migration.drain.report import Drain, Report

#: Pause between two looks (seconds); those who watch at the same time share them.
LOOK_SECONDS = 1.0


class DrainSubscription:
    """One who watches, of one tenant or of everybody; from `open` to `close`."""

    def __init__(self, watch: DrainWatch, tenant_id: str | None) -> None:
        self.tenant_id = tenant_id
        self._watch = watch
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def open(self) -> DrainSubscription:
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


class DrainWatch:
    """The subscriptions of this process. Belongs to one event loop."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._open: set[DrainSubscription] = set()
        self._is_over = False

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return len(self._open)

    def subscribe(self, tenant_id: str | None) -> DrainSubscription:
        return DrainSubscription(self, tenant_id)

    def add(self, subscription: DrainSubscription) -> None:
        if self._is_over:
            subscription.close()
        else:
            self._open.add(subscription)

    def remove(self, subscription: DrainSubscription) -> None:
        self._open.discard(subscription)

    def end_streams(self) -> None:
        """End every subscription, now and from now on."""
        self._is_over = True
        for subscription in list(self._open):
            subscription.close()

    async def follow(self, subscription: DrainSubscription, *, quiet: float) -> AsyncIterator[Report | None]:
        """The report as it stands, then each that differs from the one before; None after `quiet` seconds without one.

        It ends when the subscription is closed. Raises `TenantNotFound`, and `DatabaseUnavailable` before the first.
        """
        loop = asyncio.get_running_loop()
        shown: Report | None = None
        since = loop.time()
        while not subscription.is_closed:
            try:
                report = await self._drain.report(subscription.tenant_id)
            except DatabaseUnavailable:
                if shown is None:
                    raise
                report = shown  # it goes on when PostgreSQL is back
            if shown is None or report != replace(shown, at=report.at):
                shown, since = report, loop.time()
                yield report
            elif loop.time() - since >= quiet:
                since = loop.time()
                yield None
            await subscription.pause()
