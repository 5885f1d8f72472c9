"""How many calls may be under way at once: an adaptive limit that follows latency, as TCP Vegas does.

Additive increase, multiplicative decrease. The limit grows by one while the mean latency is within a tolerance of the
least that was seen lately (the baseline), and shrinks by a fifth when it is above.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Tolerance (times the baseline) while only one tenant uses a server, because many calls at once cost less each.
ALONE_TOLERANCE = 5.0
#: Factor on the limit when calls take too long.
DECREASE = 0.8
#: Weight of the newest call in the mean.
NEWEST = 0.15
#: A baseline holds for one to two of these (seconds): a server that has become slower for good must get calls again.
BASELINE_SECONDS = 180.0
#: Least baseline (seconds): a few milliseconds are this process's own work, and say nothing about the server. Without
#: it, a crowd on Redis, whose baseline is 1 ms, had 30 starts a second instead of 130 while others had tasks.
LEAST_BASELINE = 0.005
FIRST = 4.0
#: Least limit. Below one means one call at a time with a pause after it; calls take at least this part of the time.
LEAST = 0.25


class RollingMinimum:
    """The least value of the last one to two periods (given in seconds)."""

    def __init__(self, period: float, clock: Callable[[], float]) -> None:
        self._period = period
        self._clock = clock
        self._began_at = clock()
        self._current = self._previous = float("inf")

    def add(self, value: float) -> None:
        now = self._clock()
        if now - self._began_at > self._period:
            self._previous, self._current, self._began_at = self._current, float("inf"), now
        self._current = min(self._current, value)

    @property
    def value(self) -> float:
        return min(self._current, self._previous)


class ConcurrencyLimit:
    """A limit of at most `most`. Callers report the time of each call, and the tolerance (times the baseline)."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(most)
        self._limit = min(FIRST, self._most)
        self._mean = 0.0
        self._baseline = RollingMinimum(BASELINE_SECONDS, clock)
        self._answers = 0

    @property
    def current(self) -> int:
        """How many calls may be under way; at least one."""
        return max(int(self._limit), 1)

    @property
    def rest(self) -> float:
        """Pause after a call (seconds), if even one call at a time is too much for the server."""
        return 0.0 if self._limit >= 1 else self._mean * (1 / self._limit - 1)

    @property
    def _best(self) -> float:
        return max(self._baseline.value, LEAST_BASELINE)

    def narrow(self, tolerance: float) -> None:
        """Reduce the limit at once to fit a tighter tolerance, instead of step by step."""
        if self._mean:
            fitting = self._limit * tolerance * self._best / self._mean
            self._limit = min(max(fitting, 1.0), self._limit)

    def answered(self, seconds: float, under_way: int, tolerance: float) -> None:
        """A call took so long, with so many under way (including itself)."""
        self._mean += NEWEST * (seconds - self._mean) if self._mean else seconds
        self._baseline.add(self._mean)
        self._answers += 1
        if self._answers < self._limit:
            return  # the last change has had no effect yet
        self._answers = 0
        if self._mean > tolerance * self._best:
            self._limit = max(self._limit * DECREASE, LEAST)
        elif self._limit < 1:
            self._limit = min(self._limit / DECREASE, 1.0)
        elif under_way >= self.current:
            self._limit = min(self._limit + 1, self._most)

    def refused(self) -> None:
        """The server had no room, or was away: continue with half the limit."""
        self._limit = min(max(self._limit / 2, 1.0), self._limit)
