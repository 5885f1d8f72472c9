"""`Mark` notices that a database was restored and nobody ran `taskgate recover`.

PostgreSQL is written first, so Redis never knows a higher number than the database that it belongs to. What it cannot
see: a gap shorter than `ADVANCE_SECONDS`, and any gap when Redis lost its memory or is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import asyncpg

from backends.errors import EngineError, EngineUnavailable
from gateway.engines import build_redis
from gateway.errors import DatabaseUnavailable
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.preflight import DatabaseUnfit
from gateway.storage.queries import Queries

if TYPE_CHECKING:
    from backends.redis_queue.engine import RedisQueueEngine

log = logging.getLogger(__name__)
SQL = Queries("gateway.recovery", "mark.sql")

#: Pause between two numbers (seconds).
ADVANCE_SECONDS: Final = 5.0
#: Longest wait for a Redis that may be away (seconds).
PATIENCE: Final = 2.0

BEHIND: Final = (
    "the database is behind Redis: a backup was restored, or a fail-over lost writes; stop gateways and workers, and "
    "run `taskgate recover` (docs/runbooks/backup-restored.md)"
)


class Mark:
    """Of one database in one Redis. Methods raise `DatabaseUnavailable`."""

    def __init__(self, database: Database, redis: RedisQueueEngine) -> None:
        self._db = database
        self._redis = redis

    async def tick(self) -> None:
        """Advance it; note and log when the database is behind. A Redis that is away is left for later."""
        row = await self._db.fetchrow(SQL.advance)
        if row is None:
            return
        with contextlib.suppress(EngineError):
            remembered = await self._remember(row["database_id"], row["number"])
            if await self._is_higher(remembered):
                log.error(BEHIND)
                await self._db.execute(SQL.note_behind)

    async def is_behind(self) -> bool:
        """Whether Redis knows a higher number, or a leader found so. False when Redis does not answer."""
        row = await self._db.fetchrow(SQL.read)
        if row is None or row["is_behind"]:
            return row is not None
        with contextlib.suppress(EngineError):
            return await self._is_higher(await self.remembered())
        return False

    async def remembered(self) -> int:
        """The number that Redis knows; 0: none. Raises `EngineError`."""
        row = await self._db.fetchrow(SQL.read)
        return 0 if row is None or row["database_id"] is None else await self._remember(row["database_id"], 0)

    async def _remember(self, database_id: str, number: int) -> int:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._redis.remember_mark(database_id, number)
        except TimeoutError:
            raise EngineUnavailable("Redis did not say what it remembers of this database") from None

    async def _is_higher(self, remembered: int) -> bool:
        """Compared with what is read now: another gateway may have advanced both meanwhile."""
        row = await self._db.fetchrow(SQL.read)
        return row is not None and remembered > row["number"]


async def check_mark(settings: Settings) -> None:
    """At start-up. Raises `DatabaseUnfit`. A database or a Redis that is away is accepted: the leader looks again."""
    if (redis := build_redis(settings)) is None:
        return
    database = Database(settings.database_url, size=1, name="taskgate start")
    try:
        async with asyncio.timeout(2 * PATIENCE):
            is_behind = await Mark(database, redis).is_behind()
    except (DatabaseUnavailable, TimeoutError, asyncpg.UndefinedTableError):
        return
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnfit(f"rights are missing in the database: {error}") from error
    finally:
        await redis.close()
        await database.close()
    if is_behind:
        raise DatabaseUnfit(BEHIND)
