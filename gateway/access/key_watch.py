"""`KeyWatch`: ends streams when the key or the session that opened them is no longer valid."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

from gateway.access.batched_lookup import SQL
from gateway.access.sessions import Sessions
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.listener import Listener

log = logging.getLogger(__name__)

#: Where changes of keys are announced.
CHANNEL: Final = "taskgate_keys"
#: Pause between two looks that nothing was announced for (seconds): for keys that MemStack itself deactivates, and for
#: those that expire. With the look itself, a stream ends within two seconds.
PAUSE: Final = 1.5
#: What a stream was opened with: a key, and the session that stands for it, if any.
_Used = tuple[str, str | None]


class KeyWatch:
    """Looks at all keys and sessions in use together, when a change is announced and every `seconds`.

    Belongs to one event loop.
    """

    def __init__(
        self,
        database: Database,
        listener: Listener | None = None,
        sessions: Sessions | None = None,
        *,
        seconds: float = PAUSE,
    ) -> None:
        self._db = database
        self._sessions = sessions
        self._seconds = seconds
        self._ends: dict[_Used, list[Callable[[], None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._announced = asyncio.Event()
        if listener is not None:
            listener.subscribe(CHANNEL, lambda _: self._announced.set(), missed=self._announced.set)

    @contextlib.contextmanager
    def watching(self, key_id: str, end: Callable[[], None], session_id: str | None = None) -> Iterator[None]:
        """Inside, `end` is called when the key with this id, or its user, is deactivated, deleted or has expired, or
        the session is over."""
        used = (key_id, session_id)
        self._ends.setdefault(used, []).append(end)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="key-watch")
        try:
            yield
        finally:
            ends = self._ends[used]
            ends.remove(end)
            if not ends:
                del self._ends[used]

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
                valid = await self._valid(asked)
            except DatabaseUnavailable:
                continue
            except Exception:
                log.exception("keys of open streams could not be looked at")
                continue
            for used in asked:
                if used not in valid:
                    for end in list(self._ends.get(used, ())):
                        end()
        self._looking = None

    async def _valid(self, asked: list[_Used]) -> set[_Used]:
        """Raises `DatabaseUnavailable`."""
        rows = await self._db.fetch(SQL.valid_keys, list({key_id for key_id, _ in asked}))
        keys = {row["id"] for row in rows}
        signed_in = [session_id for _, session_id in asked if session_id is not None]
        sessions = await self._sessions.still_open(signed_in) if self._sessions is not None and signed_in else set()
        return {used for used in asked if used[0] in keys and (used[1] is None or used[1] in sessions)}
