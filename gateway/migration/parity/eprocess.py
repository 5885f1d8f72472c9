"""Has a yes/no stream become worse than its baseline? A test that may be asked after each outcome (docs/parity.md).

A test at a fixed level that is asked again and again calls a false alarm sooner or later. This one compares, after each
outcome, how well two explanations foretold the new outcomes: that they come like the baseline's, or that the odds of a
yes are several times as high. Their ratio `e` reaches 1 / alpha in at most a part alpha of the cases in which nothing
is worse, however often one looks.

The first explanation is the beta-binomial distribution that the baseline's own outcomes leave: a small baseline
foretells little, so it takes more to contradict it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

#: How often a move may be called a regression that is none, over all streams of a tenant and however long it lasts.
ALPHA: Final = 1e-5
#: How often `upper_bound` may lie below the true rate, over a whole move.
DOUBT: Final = 0.05
#: A move is counted since it was made, and anew from each recount on. Each count may err by itself, so it has only a
#: part of `ALPHA` and of `DOUBT`: the first one has this, the recounts share the rest.
FIRST_COUNT: Final = 0.9
#: Baselines with fewer outcomes judge nothing.
SMALLEST_BASELINE: Final = 30

#: The odds of a yes may have become 4, 16, 64 times as high, with these weights; beyond that come 256 times and so on,
#: up to almost certainty, which share the rest.
_TIMES: Final = 4.0
_WEIGHTS: Final = (0.24, 0.48, 0.24)
_CERTAIN: Final = 99.0
#: What is known of a rate before the baseline: Beta(1/2, 1), low rates are likelier.
_YES: Final = 0.5
_NO: Final = 1.0
#: More outcomes than these are not waited for.
_MOST_NEEDED: Final = 1_000_000


class Stream(StrEnum):
    """A yes/no question where yes is bad.

    `failed`: the first run failed. `retried`: a run before the last one failed. `dead`: the task failed for good.
    `slower`: the run took much longer than before.
    """

    FAILED = "failed"
    RETRIED = "retried"
    DEAD = "dead"
    SLOWER = "slower"


#: Parts of alpha. Whatever shows in `retried` and `dead` shows in `failed` first.
SHARES: Final[Mapping[Stream, float]] = MappingProxyType(
    {Stream.FAILED: 0.7, Stream.RETRIED: 0.1, Stream.DEAD: 0.1, Stream.SLOWER: 0.1}
)


def share_of_count(recounts: int) -> float:
    """The part of `ALPHA` and `DOUBT` that a count has, after so many recounts (0: it began with the move); all of them
    together have all of it."""
    return FIRST_COUNT if recounts == 0 else (1 - FIRST_COUNT) / (recounts * (recounts + 1))


def threshold(stream: Stream, task_types: int = 1, *, alpha: float = ALPHA) -> float:
    """The `log_e` from which a stream is worse, of a tenant that is watched in so many task types."""
    return math.log(max(task_types, 1) / (alpha * SHARES[stream]))


@dataclass(frozen=True, slots=True)
class Rate:
    """So many answers, of which so many are yes. Can be added."""

    asked: int = 0
    yes: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.yes <= self.asked:
            raise ValueError(f"{self.yes} of {self.asked} cannot be yes")

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.asked + other.asked, self.yes + other.yes)

    @property
    def part(self) -> float:
        """The part of yes; 0 if nothing was asked."""
        return self.yes / self.asked if self.asked else 0.0


class EProcess:
    """Compares a stream with a baseline, which stays as it is. Depends on the counts only, not on their order."""

    __slots__ = ("_alternatives", "_known", "_no", "_yes", "baseline")

    def __init__(self, baseline: Rate) -> None:
        self.baseline = baseline
        self._yes, self._no = _YES + baseline.yes, _NO + baseline.asked - baseline.yes
        self._known = _log_beta(self._yes, self._no)
        self._alternatives = [
            (math.log(odds / (1 + odds)), -math.log1p(odds), math.log(weight))
            for odds, weight in _alternatives(self._yes / self._no)
        ]

    @property
    def can_judge(self) -> bool:
        return self.baseline.asked >= SMALLEST_BASELINE

    def log_e(self, seen: Rate) -> float:
        """The evidence (natural logarithm) that what was seen is worse; 0 as long as the baseline is too small."""
        if not self.can_judge:
            return 0.0
        no = seen.asked - seen.yes
        worse = [seen.yes * yes + no * not_ + weight for yes, not_, weight in self._alternatives]
        best = max(worse)
        likelihood = best + math.log(sum(math.exp(one - best) for one in worse))
        return likelihood - (_log_beta(self._yes + seen.yes, self._no + no) - self._known)


def upper_bound(seen: Rate, *, doubt: float = DOUBT) -> float:
    """The highest rate that what was seen does not contradict. It too may be asked after each outcome: the true rate is
    ever above it in at most this part of the cases."""
    yes, no, limit = seen.yes, seen.asked - seen.yes, -math.log(doubt)
    mixture = _log_beta(0.5 + yes, 0.5 + no) - _log_beta(0.5, 0.5)
    low, high = seen.part, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        likelihood = (yes * math.log(middle) if yes else 0.0) + (no * math.log1p(-middle) if no else 0.0)
        low, high = (low, middle) if mixture - likelihood >= limit else (middle, high)
    return high


def still_needed(seen: Rate, tolerated: float, *, doubt: float = DOUBT) -> int | None:
    """About how many outcomes more, at the rate seen, until `upper_bound` is within what is tolerated; None: never."""
    if seen.part >= tolerated:
        return None
    asked = max(seen.asked, 8)
    while upper_bound(Rate(asked, round(seen.part * asked)), doubt=doubt) > tolerated:
        asked = math.ceil(asked * 1.1)
        if asked > _MOST_NEEDED:
            return None
    return asked - seen.asked


def _alternatives(odds: float) -> Iterator[tuple[float, float]]:
    """Higher odds, and the weight of each; the weights come to 1."""
    rest = 1.0
    for weight in _WEIGHTS:
        odds, rest = odds * _TIMES, rest - weight
        yield odds, weight
    while (odds := odds * _TIMES) < _CERTAIN:
        rest /= 2
        yield odds, rest
    yield odds, rest


def _log_beta(one: float, other: float) -> float:
    return math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other)
