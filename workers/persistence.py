"""Writes that must survive an outage of PostgreSQL, or a time in which it takes none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from gateway.errors import DatabaseUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


async def until_stored(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step until PostgreSQL is available; pauses in seconds, doubled each time."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await step()
        except DatabaseUnavailable as error:
            if pause == FIRST_PAUSE and isinstance(error.__cause__, asyncpg.PostgresError):
                # It is there, and takes nothing: a full disk, say. Somebody has to know.
                log.warning("what PostgreSQL does not take now is repeated: %s", error.__cause__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
