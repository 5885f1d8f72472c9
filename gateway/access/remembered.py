"""Accepts recently verified keys while PostgreSQL is away, so that metrics can still be scraped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gateway.access.access import Access
from gateway.access.keys import hash_key, read_key
from gateway.errors import DatabaseUnavailable, Forbidden, Unauthenticated

#: A key is remembered for so long (seconds); one that is revoked while PostgreSQL is away works until then.
REMEMBER_SECONDS: Final = 3600.0
#: Longest wait for PostgreSQL (seconds) before a remembered key counts.
ASK_SECONDS: Final = 2.0
_MOST_KEYS = 100


class RememberedKeys:
    """Authenticates callers of one endpoint."""

    def __init__(self, access: Access, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._clock = clock
        self._seen: dict[str, float] = {}

    async def authenticate(self, authorization: str | None) -> None:
        """Raises `Unauthenticated`, `Forbidden`, and `DatabaseUnavailable` for a key that is not remembered."""
        key = hash_key(read_key(authorization))
        try:
            async with asyncio.timeout(ASK_SECONDS if self._knows(key) else None):
                await self._access.authenticate(authorization)
        except (Unauthenticated, Forbidden):
            self._seen.pop(key, None)
            raise
        except (DatabaseUnavailable, TimeoutError):
            if not self._knows(key):
                raise
        else:
            self._seen.pop(key, None)
            self._seen[key] = self._clock()
            if len(self._seen) > _MOST_KEYS:
                del self._seen[next(iter(self._seen))]

    def _knows(self, key: str) -> bool:
        return self._clock() - self._seen.get(key, -REMEMBER_SECONDS) < REMEMBER_SECONDS
