"""Whether something holds up the event loop."""

from __future__ import annotations

import asyncio
import json
import time
from statistics import median
from typing import Any

#: A fixed piece of work, and how long it takes on an idle core of the machine of `docs/benchmarks.md` (seconds).
_WORK = json.dumps([{"task": f"t{number}", "n": number * 1.5, "tags": ["a", "b"]} for number in range(3000)])
_WORK_SECONDS = 0.002


async def largest_hold(until: asyncio.Future[Any]) -> float:
    """How late the loop was at most, in looks of 5 ms; what it would have been on an idle machine.

    Of a delay counts only the part in which this process worked: other processes of a busy machine hold it up, too.
    And they make its own work slower, by caches and cores that are shared: by as much as a fixed piece of work.
    """
    latest = 0.0
    while not until.done():
        before, worked = time.monotonic(), time.process_time()
        await asyncio.sleep(0.005)
        latest = max(latest, min(time.monotonic() - before - 0.005, time.process_time() - worked))
    return latest / _slowness()


def _slowness() -> float:
    """How many times as long as on an idle core work takes now; 1 at least."""
    return max(1.0, median(_work() for _ in range(9)) / _WORK_SECONDS)


def _work() -> float:
    before = time.thread_time()
    json.loads(_WORK)
    return time.thread_time() - before
