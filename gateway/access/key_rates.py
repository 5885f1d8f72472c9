"""How many requests a key may make in a minute, at this gateway."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.errors import KeyRateExceeded

#: Keys with a limit that are counted at once; beyond, the one that was idle longest begins anew.
MOST_KEYS: Final = 10_000


class KeyRates:
    """A bucket for each key, filled evenly over a minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def charge(self, key_id: str, per_minute: int) -> None:
        """One more request. Raises `KeyRateExceeded`, and then it does not count."""
        now = self._clock()
        spent, at = self._spent.get(key_id, (0.0, now))
        spent = max(0.0, spent - (now - at) * per_minute / 60) + 1
        if spent > per_minute:
            wait = max(1, math.ceil((spent - per_minute) * 60 / per_minute))
            raise KeyRateExceeded(f"This key may make {per_minute} requests a minute.", retry_after=wait)
        self._spent[key_id] = (spent, now)
        self._spent.move_to_end(key_id)
        if len(self._spent) > MOST_KEYS:
            self._spent.popitem(last=False)
