"""How much goes at once: more while answers come as quickly as they can, less when they come more slowly."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Answers may take so many times what they take at best; with more under way, whoever comes next would wait for it.
#: While nobody else comes they may take longer: many at once cost a server less each.
SLOWER, SLOWER_ALONE = 1.2, 5.0
#: After so long without anything of somebody else one is alone (seconds).
ALONE_SECONDS = 5.0
#: What is left of a window whose answers are slower than that.
SHRINK = 0.8
#: Part of the newest answer in the running mean.
NEWEST = 0.15
#: A best mean counts for one to two of these (seconds): a server that has become slower for good is not to be starved.
MEMORY_SECONDS = 180.0
FIRST = 4.0
#: Less than one: one at a time, and after it a rest, so that it goes for this part of the time at least.
LEAST = 0.25


class Pace:
    """A window of things under way, of at most `most`, that follows how long each of them takes.

    When even one at a time takes too long, a `rest` comes after it: a server is then left to whoever else there is.
    """

    def __init__(self, most: int, *, slower: float = SLOWER, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(most)
        self._slower_shared = slower
        self._window = min(FIRST, self._most)
        self._clock = clock
        self._mean: float | None = None
        self._last_took = 0.0
        self._best = self._best_before = float("inf")
        self._turned_at = clock()
        self._noted = 0
        self._slower = slower
        self._last: str | None = None
        self._mixed_at = -float("inf")

    def seen(self, who: str) -> None:
        """Something of `who` goes. Who was alone and is no longer is narrowed at once, not answer by answer."""
        now = self._clock()
        if self._last not in (None, who):
            self._mixed_at = now
        self._last = who
        slower = self._slower_shared if now - self._mixed_at < ALONE_SECONDS else SLOWER_ALONE
        if slower < self._slower and self._mean:
            fitting = self._window * slower * min(self._best, self._best_before) / self._mean
            self._window = min(max(fitting, 1.0), self._window)
        self._slower = slower

    @property
    def window(self) -> int:
        """So many may be under way."""
        return max(int(self._window), 1)

    @property
    def rest(self) -> float:
        """Seconds after one before the next of those that wait for each other."""
        return 0.0 if self._window >= 1 else self._last_took * (1 / self._window - 1)

    def note(self, seconds: float, under_way: int) -> None:
        """One took so long, with so many under way, itself included."""
        now = self._clock()
        if now - self._turned_at > MEMORY_SECONDS:
            self._best_before, self._best, self._turned_at = self._best, float("inf"), now
        self._last_took = seconds
        self._mean = seconds if self._mean is None else self._mean + NEWEST * (seconds - self._mean)
        self._best = min(self._best, self._mean)
        self._noted += 1
        if self._noted < self._window:
            return  # what the last change did is not felt yet
        self._noted = 0
        if self._mean > self._slower * min(self._best, self._best_before):
            self._window = max(self._window * SHRINK, LEAST)
        elif self._window < 1:
            self._window = min(self._window / SHRINK, 1.0)
        elif under_way >= self.window:
            self._window = min(self._window + 1, self._most)
