"""Who may start next: tenants take turns, so that none stands before another with all that it has."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.dispatch.concurrency_limit import Pace


class Turns:
    """Slots for what is under way at once, as many as `pace` says.

    Who has nothing under way waits for nobody, as long as fewer than `most` are. Who has more waiting leaves its place
    empty for `rest(who)` seconds after each.
    """

    def __init__(self, pace: Pace, most: int, rest: Callable[[str], float] = lambda _: 0.0) -> None:
        self._pace = pace
        self._most = most
        self._rest = rest
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._under_way: Counter[str] = Counter()
        self.taken = 0

    @asynccontextmanager
    async def slot(self, who: str) -> AsyncIterator[None]:
        """One slot, when it is `who`'s turn."""
        if who in self._waiting or not self._may(who):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(who, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._give_back(who)
                raise
        else:
            self._take(who)
        try:
            yield
        finally:
            if who in self._waiting and (rest := self._rest(who)):
                asyncio.get_running_loop().call_later(rest, self._give_back, who)
            else:
                self._give_back(who)

    def _may(self, who: str) -> bool:
        return self.taken < self._pace.window or (not self._under_way[who] and self.taken < self._most)

    def _take(self, who: str) -> None:
        self.taken += 1
        self._under_way[who] += 1

    def _give_back(self, who: str) -> None:
        self.taken -= 1
        self._under_way[who] -= 1
        if not self._under_way[who]:
            del self._under_way[who]
        while (next_one := next((one for one in self._waiting if self._may(one)), None)) is not None:
            queue = self._waiting.pop(next_one)
            turn = queue.popleft()
            if queue:  # behind all others
                self._waiting[next_one] = queue
            if not turn.done():
                self._take(next_one)
                turn.set_result(None)
