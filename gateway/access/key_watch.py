"""`KeyWatch`: ends streams when the key that opened them is no longer valid."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

from gateway.access.batched_lookup import SQL
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.listener import Listener

log = logging.getLogger(__name__)

#: Where changes of keys are announced.
CHANNEL: Final = "taskgate_keys"
#: Pause between two looks that nothing was announced for (seconds): for keys that MemStack itself deactivates, and for
#: those that expire. With the look itself, a stream ends within two seconds.
PAUSE: Final = 1.5


class KeyWatch:
    """Looks at all keys in use together, when a change is announced and every `seconds`, while there are any.

    Belongs to one event loop.
    """

    def __init__(self, database: Database, listener: Listener | None = None, *, seconds: float = PAUSE) -> None:
        self._db = database
        self._seconds = seconds
        self._ends: dict[str, list[Callable[[], None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._announced = asyncio.Event()
        if listener is not None:
            listener.subscribe(CHANNEL, lambda _: self._announced.set(), missed=self._announced.set)

    @contextlib.contextmanager
    def watching(self, key_id: str, end: Callable[[], None]) -> Iterator[None]:
        """Inside, `end` is called when the key with this id, or its user, is deactivated, deleted or has expired."""
        self._ends.setdefault(key_id, []).append(end)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="key-watch")
        try:
            yield
        finally:
            ends = self._ends[key_id]
            ends.remove(end)
            if not ends:
                del self._ends[key_id]

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None

    async def _look(self) -> None:
        while self._ends:
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._announced.wait()
            self._announced.clear()
            asked = list(self._ends)
            try:
                valid = {row["id"] for row in await self._db.fetch(SQL.valid_keys, asked)}
            except DatabaseUnavailable:
                continue
            except Exception:
                log.exception("keys of open streams could not be looked at")
                continue
            for key_id in asked:
                if key_id not in valid:
                    for end in list(self._ends.get(key_id, ())):
                        end()
        self._looking = None
