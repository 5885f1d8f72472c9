"""Whether something holds up the event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any


async def largest_hold(until: asyncio.Future[Any]) -> float:
    """How late the loop was at most, in looks of 5 ms.

    Of a delay counts only the part in which this process worked: other processes of a busy machine hold it up, too.
    """
    latest = 0.0
    while not until.done():
        before, worked = time.monotonic(), time.process_time()
        await asyncio.sleep(0.005)
        latest = max(latest, min(time.monotonic() - before - 0.005, time.process_time() - worked))
    return latest
