"""What sums of outcomes answer to the yes/no questions (`Stream`)."""

from __future__ import annotations

from typing import Final

from gateway.migration.parity.eprocess import Rate, Stream
from gateway.migration.parity.evidence import Counts

#: A run is slow when it takes longer than the baseline's 90th percentile times this.
TOLERANCE: Final = 1.5
#: And so much longer at least (seconds): what no person would notice is no reason to take a tenant back.
NOTICEABLE: Final = 0.1


def answers_of(counts: Counts, stream: Stream, slow_bucket: int | None) -> tuple[int, int]:
    """How many answers these sums hold, and how many are yes. `slow_bucket` is the baseline's
    (`Counts.slow_bucket`)."""
    if stream is Stream.FAILED:
        return counts.first, counts.failed
    if stream is Stream.RETRIED:
        return counts.over, counts.retried
    if stream is Stream.DEAD:
        return counts.over, counts.dead
    return 0 if slow_bucket is None else len(counts.run), counts.slower(slow_bucket)


def rate_of(counts: Counts, stream: Stream, slow_bucket: int | None) -> Rate:
    """The same as a rate."""
    return Rate(*answers_of(counts, stream, slow_bucket))
