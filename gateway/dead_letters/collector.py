"""Moves invalid payloads from Redis into the dead letters, and deletes old ones."""

from __future__ import annotations

import asyncio
import logging
import time

from backends.errors import EngineError
from backends.redis_queue.dead import DeadList
from gateway.dead_letters.archive import DeadLetters
from gateway.dead_letters.filter import SQL
from gateway.dead_letters.payloads import row_of
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database

log = logging.getLogger(__name__)

#: Entries in one step. They are read one by one: each holds a whole payload.
BATCH = 20
#: Pause while Redis is away (it may be switched off for good), and between two deletions of old ones (seconds).
AWAY_SECONDS = 30.0
CLEAN_SECONDS = 3600.0


class DeadLetterCollector:
    """Several gateways may do this at once: an entry that two of them move is one dead letter."""

    def __init__(
        self, database: Database, dead: DeadList | None, letters: DeadLetters, *, seconds: float, days: int
    ) -> None:
        self._db = database
        self._dead = dead
        self._letters = letters
        self._seconds = seconds
        self._days = days

    async def run(self) -> None:
        """Until cancelled."""
        cleaned: float | None = None
        while True:
            pause = self._seconds
            try:
                if cleaned is None or time.monotonic() - cleaned > CLEAN_SECONDS:
                    cleaned = time.monotonic()
                    await self._letters.forget_old(self._days)
                while await self.collect() == BATCH:
                    await asyncio.sleep(0)
            except DatabaseUnavailable:
                pause = max(pause, 1.0)
            except EngineError as error:
                log.debug("the dead list was not read: %s", error)
                pause = max(pause, AWAY_SECONDS)
            await asyncio.sleep(pause)

    async def collect(self) -> int:
        """Move the oldest entries of the dead list. Returns how many. An entry is removed once it is committed here."""
        if self._dead is None:
            return 0
        moved = 0
        while moved < BATCH and (found := await self._dead.read(1)):
            await self._db.execute(SQL.found_payload, *row_of(found[0]))
            await self._dead.remove(found[0])
            moved += 1
        return moved
