"""`Throttle`: a look at the database that takes long is taken less often."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Rest after a look, as a multiple of the time that it took: it has a tenth of the time.
REST: Final = 9.0
#: No rest is longer (seconds): what a dead gateway left waits no longer than that for its repetition.
LONGEST: Final = 2.0
#: A look that took no longer is not followed by a rest (seconds).
SHORT: Final = 0.02


class Throttle:
    """When the look may be taken again."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = 0.0

    @property
    def rest(self) -> float:
        """Seconds until then; 0: now."""
        return max(0.0, self._at - self._clock())

    @contextmanager
    def look(self) -> Iterator[None]:
        """Around the look. One that fails is no measure: a server that was away may have much to repeat."""
        self._at = 0.0
        began = self._clock()
        yield
        took = self._clock() - began
        if took > SHORT:
            self._at = self._clock() + min(REST * took, LONGEST)
