"""Cooperative yielding: long work on the event loop that lets other requests run in between."""

from __future__ import annotations

import asyncio
import time

#: Work goes on for this long (seconds) before it yields.
AT_A_TIME = 0.005


class Yielding:
    """For one piece of work: call `pause` between its steps."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def pause(self) -> None:
        """Yield to the event loop if it is time."""
        if time.monotonic() - self._began > AT_A_TIME:
            await asyncio.sleep(0)
            self._began = time.monotonic()
