"""Writes that must survive an outage of PostgreSQL, or a time in which it takes none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.errors import DatabaseUnavailable

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


async def until_stored(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step until PostgreSQL is available; pauses in seconds, doubled each time."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await step()
        except DatabaseUnavailable:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
