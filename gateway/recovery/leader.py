"""The leader: the one gateway that reaps, reconciles, adopts and lets tasks expire (ADR 21)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.observability.error_text import message_of
from gateway.recovery.fenced_database import SQL, TERM_KEY, FencedDatabase, LeadershipLost
from gateway.recovery.lease import LOCK_CLASS
from gateway.storage.database import Database
from gateway.storage.driver_errors import translated, was_cut_short

log = logging.getLogger(__name__)

#: The advisory lock of the one leader among all gateways (process locks have keys ≥ 0).
LEADER_KEY: Final = -1
#: Pause between two tries to become the leader (seconds).
STAND_SECONDS: Final = 0.5
#: How often the leader asks PostgreSQL whether it still leads, and how long it waits for the answer (seconds): a leader
#: that is cut off knows it after three seconds.
PROOF_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 2.0
#: The session of a leader that was silent for so long is ended by a gateway that stands for leader (seconds).
SILENT_SECONDS: Final = 6.0
#: How long a new term waits for statements of the previous one (seconds).
TERM_SECONDS: Final = 10.0


class Left(Enum):
    """What a job returns that could not do what it is for, because an engine did not answer."""

    FOR_LATER = "for later"


@dataclass(frozen=True, slots=True)
class Chore:
    """A job that a leader repeats with a pause of so many seconds, independently of its other jobs.

    It was done unless `tick` raises, or returns `Left.FOR_LATER`.
    """

    name: str
    tick: Callable[[], Awaitable[object]]
    seconds: float


class Leader:
    """Leads if no other gateway does. Its jobs write through `database`, which knows the term."""

    def __init__(self, database: FencedDatabase, holder: Callable[[], str], chores: Sequence[Chore]) -> None:
        self._db = database
        self._holder = holder
        self._chores = chores
        self._done_at: dict[str, float] = {}
        # If a host vanishes, the server ends its session, and with it the lock, within some three seconds.
        self._sessions = Database(database.url, acquire_timeout=ANSWER_SECONDS, name="taskgate leader", alert=True)

    @property
    def leads(self) -> bool:
        """Whether this gateway is the leader."""
        return self._db.term is not None

    @property
    def ages(self) -> Mapping[str, float]:
        """Seconds since each job was last done, or since the term began; none if this gateway does not lead."""
        now = time.monotonic()
        return {name: now - done_at for name, done_at in self._done_at.items()} if self.leads else {}

    async def run(self) -> None:
        """Stand for leader, and lead, until cancelled."""
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                connection = await self._sessions.connect()
                try:
                    with translated():
                        await self._stand(connection)
                except LeadershipLost:
                    log.warning("this gateway leads no more")
                finally:
                    connection.terminate()
            await asyncio.sleep(STAND_SECONDS)

    async def _stand(self, connection: asyncpg.Connection) -> None:
        while not await connection.fetchval(SQL.stand, LOCK_CLASS, LEADER_KEY, timeout=ANSWER_SECONDS):
            await connection.execute(SQL.end_silent, LOCK_CLASS, LEADER_KEY, SILENT_SECONDS, timeout=ANSWER_SECONDS)
            await asyncio.sleep(STAND_SECONDS)
        term: int = await connection.fetchval(
            SQL.begin_term, LOCK_CLASS, TERM_KEY, self._holder(), timeout=TERM_SECONDS
        )
        log.info("this gateway leads, term %d", term)
        self._done_at = dict.fromkeys((chore.name for chore in self._chores), time.monotonic())
        self._db.term = term
        loops = [asyncio.create_task(self._repeat(chore), name=chore.name) for chore in self._chores]
        try:
            while True:
                ended, _ = await asyncio.wait(loops, timeout=PROOF_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                for loop in ended:
                    loop.result()
                if not await connection.fetchval(SQL.holds, term, timeout=ANSWER_SECONDS):
                    raise LeadershipLost
        finally:
            self._db.term = None
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)

    async def _repeat(self, chore: Chore) -> None:
        """Run all jobs until the term is over; an error in one does not stop the others."""
        while True:
            try:
                if await chore.tick() is not Left.FOR_LATER:
                    self._done_at[chore.name] = time.monotonic()
            except LeadershipLost:
                raise
            except DatabaseUnavailable as error:
                level = logging.WARNING if was_cut_short(error) else logging.DEBUG
                log.log(level, "%s waits for PostgreSQL: %s", chore.name, message_of(error.__cause__ or error))
            except Exception:
                log.exception("%s failed; it is done again", chore.name)
            await asyncio.sleep(chore.seconds)
