"""`Throttle`: a look at the database that takes long is taken less often."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Rest after a look, as a multiple of the time that it took: it has a tenth of the time.
REST: Final = 9.0
#: Looks that took no longer are not followed by a rest (seconds).
SHORT: Final = 0.02
#: The quickest of so many counts: what a busy machine adds to one is not the look's.
LOOKS: Final = 5


class Throttle:
    """When the look may be taken again; `longest`: no rest is longer (seconds)."""

    def __init__(self, *, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._clock = clock
        self._at = 0.0
        self._began = 0.0
        self._took = deque[float](maxlen=LOOKS)

    @property
    def rest(self) -> float:
        """Seconds until then; 0: now."""
        return max(0.0, self._at - self._clock())

    @contextmanager
    def look(self) -> Iterator[None]:
        """Around the look. One that fails is no measure: it is taken again at once, unless it is `give_up`."""
        self._at = 0.0
        self._began = self._clock()
        yield
        self._took.append(self._clock() - self._began)
        quickest = min(self._took)
        if quickest > SHORT:
            self._at = self._clock() + min(REST * quickest, self._longest)

    def give_up(self) -> None:
        """The last look was cut off, because it took too long. The rest is the longest one, or as long as it took."""
        now = self._clock()
        self._at = now + max(self._longest, now - self._began)

    def forgive(self) -> None:
        """The last look was worth its time: it is taken again at once."""
        self._at = 0.0
