"""Sessions of PostgreSQL that wait for another."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.storage.database import Database
from workers.testing.waiting import eventually

_WAITS = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"


async def until_it_waits(database: Database, pid: int, change: asyncio.Future[Any]) -> None:
    """Return once the session waits for a lock with its `change`, which may not be over."""

    async def waits() -> bool:
        found = await database.fetchval(_WAITS, pid)
        assert not change.done(), await change
        return bool(found)

    await eventually(waits)
