"""What probes of a tenant found, and how long they waited beside the same tasks on Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import asyncpg

from gateway.migration.rehearsal.findings import OF_PROBE
from gateway.migration.rehearsal.pairs import ProbedTask, Spread, spread
from gateway.migration.rehearsal.probe_outcomes import OUTCOMES
from gateway.migration.rehearsal.reason_count import ReasonCount, counted
from gateway.migration.rehearsal.reasons import Weight


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """Probes that have ended: `good` went as they should, `rehearsed` of them through the handler's `rehearse`; the
    others `failed`, or nothing is known of them (`unanswered`).

    The spreads are those of one tenant's newest good probes; None: no such figure. `queue` and `redis_queue` are of the
    same tasks: the wait for a worker on Temporal, and on Redis.
    """

    good: int = 0
    rehearsed: int = 0
    failed: int = 0
    unanswered: int = 0
    reasons: list[ReasonCount] = field(default_factory=list)
    queue: Spread | None = None
    redis_queue: Spread | None = None
    decode: Spread | None = None
    rehearse: Spread | None = None
    redis_run: Spread | None = None


def summary_of(counts: Sequence[asyncpg.Record]) -> ProbeSummary:
    """From the counts of one tenant."""
    by_outcome: dict[str, list[asyncpg.Record]] = {}
    for row in counts:
        if row["what"].startswith(OF_PROBE):
            by_outcome.setdefault(row["what"].removeprefix(OF_PROBE), []).append(row)
    reasons = counted(
        {
            outcome: (known, by_outcome[outcome])
            for outcome, known in OUTCOMES.items()
            if known is not None and outcome in by_outcome
        }
    )
    return ProbeSummary(
        good=sum(row["tasks"] for outcome, rows in by_outcome.items() if OUTCOMES[outcome] is None for row in rows),
        rehearsed=sum(row["tasks"] for row in by_outcome.get("rehearsed", [])),
        failed=sum(one.tasks for one in reasons if one.weight is Weight.PROBLEM),
        unanswered=sum(one.tasks for one in reasons if one.weight is Weight.UNKNOWN),
        reasons=reasons,
    )


def compared(summary: ProbeSummary, probed: Sequence[ProbedTask]) -> ProbeSummary:
    """With the figures of these tasks."""
    good = [one for one in probed if one.went_well]
    both = [one for one in good if one.queue_seconds is not None and one.redis_queue_seconds is not None]
    return replace(
        summary,
        queue=spread([one.queue_seconds for one in both]),
        redis_queue=spread([one.redis_queue_seconds for one in both]),
        decode=spread([one.decode_seconds for one in good]),
        rehearse=spread([one.run_seconds for one in good]),
        redis_run=spread([one.redis_run_seconds for one in good]),
    )
