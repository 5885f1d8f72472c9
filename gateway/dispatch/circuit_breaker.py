"""A circuit breaker for an engine: nothing is sent while it backs off."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Pauses before an engine that is down is asked again (seconds). They double, and each varies by a quarter, so that
#: gateways do not ask together.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0


class CircuitBreaker:
    """Down from the first refusal until a probe, after a pause, is answered.

    Pauses grow until a start succeeds, because an answered probe does not mean that there is room for starts. A refusal
    of a single start because of its content counts as an answer.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._down_since: float | None = None
        self._went_down = asyncio.Event()
        self._pauses = 0

    @property
    def is_down(self) -> bool:
        return self._down_since is not None

    @property
    def down_seconds(self) -> float:
        return 0.0 if self._down_since is None else self._clock() - self._down_since

    def failed(self) -> bool:
        """The engine was not reached, or has no room. Returns whether it was up until now."""
        if self._down_since is not None:
            return False  # failures of starts that were under way together count once
        self._down_since = self._clock()
        self._went_down.set()
        log.warning("backend %s is down; its tasks wait", self._name)
        return True

    def worked(self) -> None:
        """The engine carried a start out. A start that was sent before the engine went down does not count."""
        if self._down_since is None:
            self._pauses = 0

    def probe_answered(self) -> None:
        """The engine may be asked to start tasks again."""
        if self._down_since is not None:
            self._down_since = None
            log.warning("backend %s is back", self._name)
        self._went_down.clear()

    def next_pause(self) -> float:
        """Seconds before the next probe."""
        pause = min(FIRST_PAUSE * 2.0**self._pauses, LONGEST_PAUSE)
        self._pauses = min(self._pauses + 1, 10)
        return pause * random.uniform(0.75, 1.25)

    async def until_down(self) -> None:
        await self._went_down.wait()
