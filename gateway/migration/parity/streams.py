"""What outcomes and their sums answer to the yes/no questions (`Stream`)."""

from __future__ import annotations

from typing import Final

from gateway.migration.parity.eprocess import Rate, Stream
from gateway.migration.parity.evidence import Counts, Outcome

#: A run is slow when it takes longer than the baseline's 90th percentile times this.
TOLERANCE: Final = 1.5


def rate_of(counts: Counts, stream: Stream, slow_bucket: int | None) -> Rate:
    """How many answers these sums hold, and how many are yes. `slow_bucket` is the baseline's
    (`Counts.slow_bucket`)."""
    if stream is Stream.FAILED:
        return Rate(counts.first, counts.failed)
    if stream is Stream.RETRIED:
        return Rate(counts.over, counts.retried)
    if stream is Stream.DEAD:
        return Rate(counts.over, counts.dead)
    return Rate(0 if slow_bucket is None else len(counts.run), counts.slower(slow_bucket))


def answer_of(outcome: Outcome, stream: Stream, slow_bucket: int | None) -> bool | None:
    """What one outcome answers; None: nothing."""
    if stream is Stream.FAILED:
        return outcome.failed
    if stream is Stream.RETRIED:
        return outcome.retried
    if stream is Stream.DEAD:
        return outcome.dead
    return outcome.is_slower(slow_bucket)
