"""One lane per backend: its starts under way, and whether it is down. A slow backend fills its own lane only."""

from __future__ import annotations

import asyncio
import logging
import time

from backends.errors import EngineUnavailable
from backends.port import WorkflowEnginePort

log = logging.getLogger(__name__)


class Lane:
    """Bounds the engine starts that are under way at once; refuses quickly while the engine is down."""

    def __init__(self, engine: WorkflowEnginePort, *, concurrency: int) -> None:
        self.engine = engine
        self.slots = asyncio.Semaphore(concurrency)
        self.pending = 0
        self._limit = concurrency * 8
        self._sweep_limit = concurrency * 2
        self._down_since: float | None = None

    @property
    def is_down(self) -> bool:
        return self._down_since is not None

    @property
    def down_seconds(self) -> float:
        return 0.0 if self._down_since is None else time.monotonic() - self._down_since

    @property
    def is_free(self) -> bool:
        return not self.is_down and self.pending < self._limit

    @property
    def has_room(self) -> bool:
        """Whether it takes tasks that waited. They leave room for new ones, so that no crowd stands before those."""
        return self.pending < self._sweep_limit

    def started(self) -> bool:
        """A start is no longer under way; True when there is room again."""
        self.pending -= 1
        return self.pending == self._sweep_limit - 1

    def failed(self) -> None:
        """The engine could not be reached."""
        if self._down_since is None:
            self._down_since = time.monotonic()
            log.warning("backend %s is down; its tasks wait", self.engine.name)

    def worked(self) -> bool:
        """The engine answered; True when it was down before."""
        was_down, self._down_since = self._down_since is not None, None
        if was_down:
            log.warning("backend %s is back", self.engine.name)
        return was_down

    async def probe(self) -> bool:
        """Ask a down engine whether it is back; True when it just came back."""
        try:
            await self.engine.check_health()
        except EngineUnavailable:
            return False
        return self.worked()
