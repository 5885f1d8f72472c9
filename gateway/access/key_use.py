"""`api_keys.last_used_at`: set for every verified request, written for many at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.queries import Queries

log = logging.getLogger(__name__)
SQL = Queries("gateway.access", "access.sql")

#: Pause between two writes (seconds): the most by which `last_used_at` lags behind.
PAUSE = 0.5


class KeyUse:
    """Notes the uses of keys, and writes them down every `pause` seconds while there are any."""

    def __init__(self, database: Database, pause: float = PAUSE) -> None:
        self._db = database
        self._pause = pause
        self._used: dict[str, datetime] = {}
        self._writer: asyncio.Task[None] | None = None

    def note(self, key_id: str) -> None:
        """A request with this key was verified just now."""
        self._used[key_id] = datetime.now(UTC)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def close(self) -> None:
        """Write what is not yet written."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        await self._write()

    async def _write_soon(self) -> None:
        while self._used:
            await asyncio.sleep(self._pause)
            await self._write()

    async def _write(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            ids = sorted(used)
            await self._db.execute(SQL.touch, ids, [used[key_id] for key_id in ids])
        except asyncio.CancelledError:
            self._used = used | self._used
            raise
        except (DatabaseUnavailable, asyncpg.PostgresError) as error:
            # Worth a line, never a refusal: the requests themselves were served.
            log.warning("the last use of %d keys was not recorded: %s", len(used), type(error).__name__)
