"""`NewsWatch`: the news of all gateways, for those who follow them in this one."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson

from gateway.errors import DatabaseUnavailable
from gateway.migration.guardrails.watch import CHANNEL as GUARDRAILS
from gateway.news.piece import Piece, Topic, pieces_of, topic_of
from gateway.storage.database import Database
from gateway.storage.gathering import GatheringWatch
from gateway.storage.listener import Listener
from gateway.storage.queries import Queries

SQL = Queries("gateway.news", "news.sql")
CHANNEL: Final = "taskgate_news"
#: Entries of one reading.
_PAGE: Final = 500
#: Who is too slow for so many different pieces, or entries, is told to read everything anew.
_MOST: Final = 1000


class NewsWatch(GatheringWatch[Piece]):
    """Pieces of news."""

    def __init__(self, database: Database, listener: Listener) -> None:
        super().__init__(batch=_MOST, most=_MOST)
        self._db = database
        self._entries: set[int] = set()
        self._wanted = asyncio.Event()
        listener.subscribe(CHANNEL, self._heard, missed=self.miss)
        listener.subscribe(GUARDRAILS, lambda _: self.deliver([Piece(Topic.GUARDRAIL)]))

    def miss(self) -> None:
        self._entries.clear()
        super().miss()

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
                    self.miss()
                else:
                    self.deliver([piece for row in rows for piece in pieces_of(dict(row))])

    def _heard(self, payload: str) -> None:
        if not self._open:
            return
        told: dict[str, Any] = orjson.loads(payload)
        if "entry" in told:
            self._entries.add(told["entry"])
            if len(self._entries) > _MOST:
                self.miss()
            self._wanted.set()
        elif (topic := topic_of(told["topic"])) is not None:
            self.deliver([Piece(topic, told.get("tenant"), told.get("user"))])
