"""Tells lists of tasks what they alone show: that a task was accepted, and how its start ended (ADR 35).

Readers of a single task must not hear it: it changes nothing of what they show. And it is told on a channel of its own
only while somebody, on any gateway, follows a list, so that it costs nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.tasks.changes.notifier import Notifier

log = logging.getLogger(__name__)

#: Ids, as on the channel of changes; nothing: there are some that were not told.
ARRIVALS_CHANNEL: Final = "taskgate_arrivals"
#: The name of a process where lists are followed.
AUDIENCE_CHANNEL: Final = "taskgate_arrivals_audience"

#: How often such a process says so, and for how long it is believed (seconds).
SAY_SECONDS: Final = 5.0
BELIEVED_SECONDS: Final = 15.0


class Arrivals:
    """Belongs to one event loop. `listener` None: it cannot be known who listens, so everything is told."""

    def __init__(
        self,
        database: Database,
        listener: Listener | None,
        *,
        say_seconds: float = SAY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = database
        self._listener = listener
        self._say_seconds = say_seconds
        self._clock = clock
        self._notifier = Notifier(database, channel=ARRIVALS_CHANNEL)
        self._name = secrets.token_hex(8)
        self._followers = 0
        self._followed = asyncio.Event()
        self._believed_until = 0.0
        #: When a task was last kept to itself.
        self._kept_at: float | None = None
        self._telling: asyncio.Task[None] | None = None
        if listener is not None:
            listener.subscribe(AUDIENCE_CHANNEL, self._heard, missed=self._believe)

    @property
    def has_audience(self) -> bool:
        """Whether somebody follows a list, or may do so."""
        if self._followers or self._listener is None or not self._listener.is_listening:
            return True
        return self._clock() < self._believed_until

    def tell(self, task_id: str) -> None:
        """A task was accepted, or its start has ended; call it after the commit, in the event loop."""
        if self.has_audience:
            self._notifier.changed(task_id)
        else:
            self._kept_at = self._clock()

    def follow(self) -> None:
        """A list is followed here, from now on until `leave`."""
        self._followers += 1
        self._followed.set()

    def leave(self) -> None:
        """One less."""
        self._followers -= 1
        if not self._followers:
            self._followed.clear()

    async def run(self) -> None:
        """Tell the other processes that lists are followed here, until cancelled."""
        while True:
            await self._followed.wait()
            try:
                await self._db.execute("SELECT pg_notify($1, $2)", AUDIENCE_CHANNEL, self._name)
            except DatabaseUnavailable:
                log.warning("who accepts tasks was not told that lists are followed: PostgreSQL is away")
            await asyncio.sleep(self._say_seconds)

    async def flush(self) -> None:
        """Return when everything so far was told."""
        await self._notifier.flush()

    async def close(self) -> None:
        """Tell what is left, and stop."""
        if self._telling is not None:
            await asyncio.gather(self._telling, return_exceptions=True)
        await self._notifier.close()

    def _heard(self, name: str) -> None:
        if name != self._name:
            self._believe()

    def _believe(self) -> None:
        """Somebody follows a list; while nobody listened here, somebody may have begun to."""
        now = self._clock()
        self._believed_until = now + BELIEVED_SECONDS
        # They may have read their list before such a task was accepted, and were not heard in time.
        if self._kept_at is not None and now - self._kept_at < BELIEVED_SECONDS and self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_that_some_were_kept())
        self._kept_at = None

    async def _tell_that_some_were_kept(self) -> None:
        try:
            await self._db.execute("SELECT pg_notify($1, '')", ARRIVALS_CHANNEL)
        except DatabaseUnavailable:
            log.warning("lists may miss tasks that were accepted: PostgreSQL is away")
        finally:
            self._telling = None
