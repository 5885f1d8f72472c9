"""One reading for all who ask, however many they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReading(Generic[T]):
    """What `read` returns or raises: at most one is under way, and it is kept for `seconds` after its end."""

    def __init__(
        self, read: Callable[[], Awaitable[T]], *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._last: asyncio.Task[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """Raises what `read` raises."""
        if self._last is None or (self._last.done() and self._clock() >= self._until):
            self._last = asyncio.ensure_future(self._once())
            self._last.add_done_callback(_seen)
        # Shielded: a caller that is cancelled does not cancel the others.
        return await asyncio.shield(self._last)

    async def _once(self) -> T:
        try:
            return await self._read()
        finally:
            self._until = self._clock() + self._seconds


def _seen(reading: asyncio.Task[T]) -> None:
    """All callers may have been cancelled."""
    if not reading.cancelled():
        reading.exception()
