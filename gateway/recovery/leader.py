"""One gateway reaps, reconciles, adopts and lets tasks expire, whichever; who leads proves it each second (ADR 21)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.recovery.fenced_database import SQL, TERM_KEY, FencedDatabase, LeadershipLost
from gateway.recovery.lease import LOCK_CLASS
from gateway.storage.database import Database
from gateway.storage.driver_errors import translated

log = logging.getLogger(__name__)

#: The advisory lock of the one leader among all gateways (process locks have keys ≥ 0).
LEADER_KEY: Final = -1
#: Pause between two tries to become the leader (seconds).
STAND_SECONDS: Final = 0.5
#: Each so often the leader asks PostgreSQL whether it still leads, and waits so long for the answer: whoever was cut
#: off knows it three seconds later.
PROOF_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 2.0
#: A new term waits so long for statements of the one before.
TERM_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Chore:
    """What a leader does again and again, with a pause of so many seconds, whatever becomes of its other chores."""

    name: str
    tick: Callable[[], Awaitable[object]]
    seconds: float


class Leader:
    """Leads whenever nobody else does. Its chores write through `database`, which knows the term."""

    def __init__(self, database: FencedDatabase, holder: Callable[[], str], chores: Sequence[Chore]) -> None:
        self._db = database
        self._holder = holder
        self._chores = chores
        # The server ends the session of a host that vanished, and with it the lock, within some three seconds.
        self._sessions = Database(database.url, acquire_timeout=ANSWER_SECONDS, name="taskgate leader", alert=True)

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
            await asyncio.sleep(STAND_SECONDS)
        term: int = await connection.fetchval(
            SQL.begin_term, LOCK_CLASS, TERM_KEY, self._holder(), timeout=TERM_SECONDS
        )
        log.info("this gateway leads, term %d", term)
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
        """Until the term is over: what goes wrong in one chore is no reason for the others to stop."""
        while True:
            try:
                await chore.tick()
            except LeadershipLost:
                raise
            except DatabaseUnavailable:
                log.debug("%s waits for PostgreSQL", chore.name)
            except Exception:
                log.exception("%s failed; it is done again", chore.name)
            await asyncio.sleep(chore.seconds)
