"""`KeyWatch`: ends streams when the key or session that opened them is no longer valid, or its user loses a role."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from gateway.access.batched_lookup import LARGEST_BATCH, SQL
from gateway.access.sessions import Sessions
from gateway.access.standing import Standing, standing_of
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.listener import Listener

log = logging.getLogger(__name__)

#: Where changes of keys are announced.
CHANNEL: Final = "taskgate_keys"
#: Pause between two looks that nothing was announced for (seconds): for keys that MemStack itself deactivates, roles
#: that it changes, and keys that expire. With the look itself, a stream ends within two seconds.
PAUSE: Final = 1.5


class Used(NamedTuple):
    """What a stream was opened with: a key with what its user might do, and the session that stands for it, if any."""

    key_id: str
    standing: Standing
    session_id: str | None


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
        self._ends: dict[Used, list[Callable[[], None]]] = {}
        self._marks: dict[Used, str] = {}  # with what mark the standing was still the one it was opened with
        self._looking: asyncio.Task[None] | None = None
        self._announced = asyncio.Event()
        if listener is not None:
            listener.subscribe(CHANNEL, lambda _: self._announced.set(), missed=self._announced.set)

    @contextlib.contextmanager
    def watching(self, used: Used, end: Callable[[], None]) -> Iterator[None]:
        """Inside, `end` is called when the key, or its user, is deactivated, deleted or has expired, the session is
        over, or something of what the user might do is no longer so. More than that ends nothing."""
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

    async def _valid(self, asked: list[Used]) -> set[Used]:
        """Raises `DatabaseUnavailable`."""
        rows = await self._db.fetch(SQL.valid_keys, list({used.key_id for used in asked}))
        marks: dict[str, str] = {row["id"]: row["mark"] for row in rows}
        signed_in = [used.session_id for used in asked if used.session_id is not None]
        sessions = await self._sessions.still_open(signed_in) if self._sessions is not None and signed_in else set()
        valid = {
            used for used in asked if used.key_id in marks and (used.session_id is None or used.session_id in sessions)
        }
        self._marks = {used: mark for used, mark in self._marks.items() if used in valid}
        unsure = [used for used in valid if self._marks.get(used) != marks[used.key_id]]
        with contextlib.suppress(DatabaseUnavailable):  # those that were not asked about are, at the next look
            # After the marks: what changes between the two has another mark at the next look.
            for start in range(0, len(unsure), LARGEST_BATCH):
                part = unsure[start : start + LARGEST_BATCH]
                found = await self._db.fetch(SQL.standings, list({used.key_id for used in part}))
                now = {row["key_id"]: standing_of(dict(row)) for row in found}
                lost = {used for used in part if not used.standing <= now.get(used.key_id, frozenset())}
                valid -= lost
                self._marks |= {used: marks[used.key_id] for used in part if used not in lost}
        return valid
