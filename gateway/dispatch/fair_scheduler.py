"""Which tenant may start next: tenants take turns, so that many tasks of one do not delay another."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class FairScheduler:
    """Slots for starts under way: as many as `limit()` says.

    A tenant with no start under way gets a slot at once while fewer than `most` are taken. A tenant with more starts
    waiting leaves its slot empty for `rest(tenant)` seconds after each. Weights of tenants do not count here; they do
    where tasks of a crowd are taken (`take_in_turn` in dispatch.sql) and on the engines.
    """

    def __init__(self, limit: Callable[[], int], most: int, rest: Callable[[str], float] = lambda _: 0.0) -> None:
        self._limit = limit
        self._most = most
        self._rest = rest
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._under_way: Counter[str] = Counter()
        self.taken = 0

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """One slot, when it is the tenant's turn."""
        if tenant in self._waiting or not self._may(tenant):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(tenant, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._give_back(tenant)
                raise
        else:
            self._take(tenant)
        try:
            yield
        finally:
            if tenant in self._waiting and (rest := self._rest(tenant)):
                asyncio.get_running_loop().call_later(rest, self._give_back, tenant)
            else:
                self._give_back(tenant)

    def _may(self, tenant: str) -> bool:
        return self.taken < self._limit() or (not self._under_way[tenant] and self.taken < self._most)

    def _take(self, tenant: str) -> None:
        self.taken += 1
        self._under_way[tenant] += 1

    def _give_back(self, tenant: str) -> None:
        self.taken -= 1
        self._under_way[tenant] -= 1
        if not self._under_way[tenant]:
            del self._under_way[tenant]
        while (next_one := next((one for one in self._waiting if self._may(one)), None)) is not None:
            queue = self._waiting.pop(next_one)
            turn = queue.popleft()
            if queue:  # behind all others
                self._waiting[next_one] = queue
            if not turn.done():
                self._take(next_one)
                turn.set_result(None)
