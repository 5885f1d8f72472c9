"""Events of guardrails, passed on in every gateway as they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from gateway.errors import DatabaseUnavailable
from gateway.migration.guardrails.store import SQL, event_view
from gateway.storage.database import Database
from gateway.storage.listener import Listener

CHANNEL: Final = "taskgate_guardrails"
#: Pause between two looks that nobody asked for (seconds).
POLL_SECONDS: Final = 5.0
_PAGE: Final = 100


class GuardrailWatch:
    """`tell` is called with each event, in the event loop."""

    def __init__(self, database: Database, listener: Listener, tell: Callable[[dict[str, Any]], None]) -> None:
        self._db = database
        self._tell = tell
        self._wanted = asyncio.Event()
        listener.subscribe(CHANNEL, lambda _: self._wanted.set(), missed=self._wanted.set)

    async def run(self) -> None:
        """Until cancelled."""
        last: int | None = None
        while True:
            self._wanted.clear()
            try:
                if last is None:
                    last = await self._db.fetchval(SQL.newest_event)
                while rows := await self._db.fetch(SQL.events_after, last, _PAGE):
                    last = rows[-1]["id"]
                    for row in rows:
                        self._tell({**event_view(row), "at": row["at"].isoformat()})
            except DatabaseUnavailable:
                pass  # it is asked again
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue
