"""Whether something holds up the event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any


async def largest_hold(until: asyncio.Future[Any]) -> float:
    """How late the loop was at most, in looks of 5 ms."""
    latest = 0.0
    while not until.done():
        before = time.monotonic()
        await asyncio.sleep(0.005)
        latest = max(latest, time.monotonic() - before - 0.005)
    return latest
