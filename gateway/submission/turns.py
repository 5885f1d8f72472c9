"""Long work on the event loop, in which others have their turns."""

from __future__ import annotations

import asyncio
import time

#: Work goes on for so long (seconds) before others have their turn.
AT_A_TIME = 0.005


class Turns:
    """For one piece of work: call `pause` between its steps."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def pause(self) -> None:
        """Let others have their turn if it is due."""
        if time.monotonic() - self._began > AT_A_TIME:
            await asyncio.sleep(0)
            self._began = time.monotonic()
