"""Numbers of tasks, some of them estimated from a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

#: Of the normal distribution: an interval holds the true number 95 times of 100.
_Z: Final = 1.959964


@dataclass(slots=True)
class Estimate:
    """`counted`: known exactly. Of `drawn_from` others, `drawn` were looked at, and `hits` of them counted."""

    counted: int = 0
    drawn_from: int = 0
    drawn: int = 0
    hits: int = 0

    @property
    def tasks(self) -> int:
        share = self.hits / self.drawn if self.drawn else 0.0
        return self.counted + round(share * self.drawn_from)

    @property
    def interval(self) -> tuple[int, int]:
        """Wilson's, narrower the more of all were drawn."""
        if self.drawn >= self.drawn_from:
            return self.tasks, self.tasks
        low, high = _wilson(self.hits, self.drawn, self.drawn_from)
        return self.counted + math.floor(low * self.drawn_from), self.counted + math.ceil(high * self.drawn_from)

    def view(self) -> dict[str, int]:
        low, high = self.interval
        return {"tasks": self.tasks, "low": low, "high": high}


def _wilson(hits: int, drawn: int, drawn_from: int) -> tuple[float, float]:
    if not drawn:
        return 0.0, 1.0
    share = hits / drawn
    middle = (share + _Z**2 / (2 * drawn)) / (1 + _Z**2 / drawn)
    half = _Z / (1 + _Z**2 / drawn) * math.sqrt(share * (1 - share) / drawn + _Z**2 / (4 * drawn**2))
    left = math.sqrt((drawn_from - drawn) / (drawn_from - 1))
    return max(share - (share - middle + half) * left, 0.0), min(share + (middle + half - share) * left, 1.0)
