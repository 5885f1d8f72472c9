"""`NewsWatch`: the news of all gateways, for those who follow them in this one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

from gateway.errors import DatabaseUnavailable
from gateway.migration.guardrails.watch import CHANNEL as GUARDRAILS
from gateway.news.piece import Piece, Topic, pieces_of, topic_of
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.storage.queries import Queries

SQL = Queries("gateway.news", "news.sql")
CHANNEL: Final = "taskgate_news"
#: Entries of one reading.
_PAGE: Final = 500
#: Who is too slow for so many different pieces, or entries, is told to read everything anew.
_MOST: Final = 1000


@dataclass(frozen=True)
class Heard:
    """What was heard. `missed`: there was more, which is not known."""

    pieces: tuple[Piece, ...] = ()
    missed: bool = False


class NewsSubscription:
    """What was told since it was last asked; from `open` to `close`. For one reader at a time."""

    def __init__(self, watch: NewsWatch) -> None:
        self._watch = watch
        self._pieces: dict[Piece, None] = {}
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

    async def heard(self, timeout: float) -> Heard | None:
        """All that is new; None after `timeout` seconds without anything, or when it is closed."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return None
        heard = Heard(tuple(self._pieces), self._missed)
        self._pieces.clear()
        self._missed = False
        if not self.is_closed:
            self._woken.clear()
        return heard if heard.pieces or heard.missed else None

    def deliver(self, pieces: Iterable[Piece]) -> None:
        self._pieces.update(dict.fromkeys(pieces))
        if len(self._pieces) > _MOST:
            self.miss()
        self._woken.set()

    def miss(self) -> None:
        """Something may have changed that is not known."""
        self._pieces.clear()
        self._missed = True
        self._woken.set()


class NewsWatch:
    """The subscriptions of this process. Belongs to one event loop."""

    def __init__(self, database: Database, listener: Listener) -> None:
        self._db = database
        self._open: set[NewsSubscription] = set()
        self._entries: set[int] = set()
        self._wanted = asyncio.Event()
        self._is_over = False
        listener.subscribe(CHANNEL, self._heard, missed=self._missed)
        listener.subscribe(GUARDRAILS, lambda _: self._deliver([Piece(Topic.GUARDRAIL)]))

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return len(self._open)

    def subscribe(self) -> NewsSubscription:
        return NewsSubscription(self)

    def add(self, subscription: NewsSubscription) -> None:
        if self._is_over:
            subscription.is_closed = True
        else:
            self._open.add(subscription)

    def remove(self, subscription: NewsSubscription) -> None:
        self._open.discard(subscription)

    def end_streams(self) -> None:
        """End every subscription, now and from now on."""
        self._is_over = True
        for subscription in list(self._open):
            subscription.close()

    async def run(self) -> None:
        """Read entries of the record as they are told of, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while ids := sorted(self._entries)[:_PAGE]:
                self._entries.difference_update(ids)
                try:
                    rows = await self._db.fetch(SQL.entries, ids)
                except DatabaseUnavailable:
                    self._missed()
                else:
                    self._deliver([piece for row in rows for piece in pieces_of(dict(row))])

    def _heard(self, payload: str) -> None:
        if not self._open:
            return
        told: dict[str, Any] = orjson.loads(payload)
        if "entry" in told:
            self._entries.add(told["entry"])
            if len(self._entries) > _MOST:
                self._missed()
            self._wanted.set()
        elif (topic := topic_of(told["topic"])) is not None:
            self._deliver([Piece(topic, told.get("tenant"), told.get("user"))])

    def _deliver(self, pieces: list[Piece]) -> None:
        for subscription in self._open:
            subscription.deliver(pieces)

    def _missed(self) -> None:
        self._entries.clear()
        for subscription in self._open:
            subscription.miss()
