"""`OtherTypes`: what to do with a task for which this worker has no handler."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection

_MOST_TYPES = 1_000


class OtherTypes:
    """Leaves such a task to other workers while one of them has a handler, and for some time after that.

    Workers with other plug-ins stand beside this one for long, or for as long as a deployment takes; in Redis all types
    of a group share one list. `is_served` tells whether another living worker has a type, or had it within the last
    `grace` seconds. A type that nobody was ever seen to have is waited for as long.
    """

    def __init__(
        self,
        own: Collection[str],
        is_served: Callable[[str], Awaitable[bool]],
        *,
        grace: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = frozenset(own)
        self._is_served = is_served
        self._grace = grace
        self._clock = clock
        self._unserved_since: dict[str, float] = {}

    async def are_left(self, task_type: str) -> bool:
        """Whether a task of this type is to be put back; else it is run here, and fails if there is no handler."""
        if task_type in self._own:
            return False
        if await self._is_served(task_type):
            self._unserved_since.pop(task_type, None)
            return True
        if len(self._unserved_since) >= _MOST_TYPES:
            self._unserved_since.pop(next(iter(self._unserved_since)))
        now = self._clock()
        return now - self._unserved_since.setdefault(task_type, now) < self._grace
