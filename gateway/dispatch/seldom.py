"""`Seldom`: a look whose cost grows with what lies there is taken the more seldom the longer it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: Rest after a look, as a multiple of the time that it took: it has a tenth of the time.
REST: Final = 9.0
#: One that took no longer is not followed by a rest (seconds).
SHORT: Final = 0.02


class Seldom:
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
        """Around the look."""
        began = self._clock()
        try:
            yield
        finally:
            took = self._clock() - began
            self._at = self._clock() + REST * took if took > SHORT else 0.0
