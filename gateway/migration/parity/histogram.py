"""Histograms of durations with fixed logarithmic buckets: four for each doubling, from a millisecond on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

#: Bucket 107, the last one, holds everything from 31 hours on.
BUCKETS: Final = 108
_PER_DOUBLING: Final = 4
_SMALLEST: Final = 0.001


def bucket_of(seconds: float) -> int:
    """The bucket of a duration, as `taskgate.log_bucket` in PostgreSQL has it."""
    return min(math.floor(_PER_DOUBLING * math.log2(max(seconds / _SMALLEST, 1.0))), BUCKETS - 1)


def lower_edge(bucket: int) -> float:
    """The shortest duration of a bucket (seconds); the one below it ends there."""
    return 0.0 if bucket == 0 else _SMALLEST * 2.0 ** (bucket / _PER_DOUBLING)


class Histogram:
    """How many durations fell into each bucket. Histograms can be added; they never lose a count."""

    __slots__ = ("counts",)

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self.counts: Sequence[int] = tuple(counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts == other.counts

    def __hash__(self) -> int:
        return hash(self.counts)

    @classmethod
    def of(cls, several: Iterable[Histogram]) -> Histogram:
        """What these come to."""
        sums = [0] * BUCKETS
        last = 0
        for one in several:
            for bucket, count in enumerate(one.counts):
                if count:
                    sums[bucket] += count
            last = max(last, len(one.counts))
        return cls(sums[:last])

    def __len__(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def quantile(self, part: float) -> float | None:
        """The duration (seconds) that this part of them does not exceed, within a bucket's width (a fifth); None if
        empty."""
        bucket = self.bucket_at(part)
        return None if bucket is None else math.sqrt(max(lower_edge(bucket), _SMALLEST) * lower_edge(bucket + 1))

    def bucket_at(self, part: float) -> int | None:
        """The bucket in which this part of them ends; None if there are none."""
        wanted, seen = part * len(self), 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if seen and seen >= wanted:
                return bucket
        return None

    def above(self, bucket: int) -> int:
        """How many fell into buckets beyond this one."""
        return sum(self.counts[bucket + 1 :])
