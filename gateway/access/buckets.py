"""How often something may happen in a minute, for each name: buckets that fill evenly."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: Names that are counted at once; beyond, the one that was idle longest begins anew.
MOST_NAMES: Final = 10_000


class Buckets:
    """Counts in memory: each gateway has its own."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str, per_minute: int) -> int:
        """0 when one more is left, else the whole seconds until there is."""
        excess = self._now(name, per_minute) + 1 - per_minute
        return max(1, math.ceil(excess * 60 / per_minute)) if excess > 0 else 0

    def take(self, name: str, per_minute: int) -> int:
        """Take one. As `wait`: when none is left, nothing is taken."""
        if seconds := self.wait(name, per_minute):
            return seconds
        self._spent[name] = (self._now(name, per_minute) + 1, self._clock())
        self._spent.move_to_end(name)
        if len(self._spent) > MOST_NAMES:
            self._spent.popitem(last=False)
        return 0

    def _now(self, name: str, per_minute: int) -> float:
        spent, at = self._spent.get(name, (0.0, 0.0))
        return max(0.0, spent - (self._clock() - at) * per_minute / 60)
