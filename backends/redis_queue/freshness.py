"""`Freshness`: refreshes long-waiting payloads, so that legacy workers do not treat them as stalled (contract R4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta

from backends.redis_queue import scripts, wire
from backends.redis_queue.link import Link
from backends.redis_queue.pages import Page, walk

FRESH = timedelta(seconds=120)
"""How old a waiting payload's time may become before it is renewed; the shortest limit of a type is 600 s."""
_PAGES = 500
"""Scripts in one share: at most 100,000 payloads, or some 250 MB of them."""


class Freshness:
    """Goes over all groups in shares, repeatedly."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._walk: AsyncGenerator[Page] | None = None

    async def renew(self) -> int:
        """Renew the time of the gateway's payloads in the next share; how many. Raises as `Link.run` does."""
        if self._walk is None:
            groups = sorted(await self._link.call("SMEMBERS", wire.ACTIVE_GROUPS))
            self._walk = walk(self._link, scripts.KEEP_FRESH, (int(FRESH.total_seconds()),), groups)
        renewed = 0
        walking, self._walk = self._walk, None  # after an error it begins anew
        for _ in range(_PAGES):
            page = await anext(walking, None)
            if page is None:
                return renewed
            renewed += page.found
        self._walk = walking
        return renewed
