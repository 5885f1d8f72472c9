"""What a tenant's tasks did on Redis before it was moved: what those on Temporal are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from gateway.migration.parity.evidence import Counts, Slice
from gateway.migration.parity.histogram import bucket_of
from gateway.routing.stages import REDIS

#: So long before the move the baseline begins, and so long before it what is called recent.
WINDOW: Final = timedelta(hours=24)
RECENT: Final = timedelta(minutes=15)
#: A completed run is slow beyond the baseline's 90th percentile times this.
TOLERANCE: Final = 1.5
#: With a smaller spread, outcomes of one minute are as independent as those of others.
LEAST_SPREAD: Final = 1.5


class Answers(NamedTuple):
    """To a yes/no question: how many, and how many say yes."""

    count: int = 0
    yes: int = 0

    @property
    def rate(self) -> float:
        return self.yes / self.count if self.count else 0.0


NONE: Final = Answers()


class Run(NamedTuple):
    """What one outcome says (`parity.evidence.Outcome`); a question that it does not answer is None."""

    task_type: str
    failed: bool | None = None
    retried: bool | None = None
    dead: bool | None = None
    run_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TypeBaseline:
    """Of one task type.

    `spread`: how much more the share of failures differs between minutes than chance explains (1: no more). A burst of
    failures is then not taken for as many independent ones.
    """

    streams: Mapping[str, Answers] = field(default_factory=dict)
    recent: Answers = NONE
    slow_bucket: int | None = None
    spread: float = 1.0

    def answers(self, run: Run) -> dict[str, bool]:
        """What a run says in each stream, as far as it says anything."""
        said = {"failed": run.failed, "retried": run.retried, "dead": run.dead}
        if self.slow_bucket is not None and run.run_seconds is not None:
            said["slow"] = bucket_of(run.run_seconds) > self.slow_bucket
        return {name: answer for name, answer in said.items() if answer is not None}

    def stored(self) -> dict[str, Any]:
        """As JSON holds it."""
        streams = {name: list(answers) for name, answers in self.streams.items()}
        recent = list(self.recent)
        return {"streams": streams, "recent": recent, "slow_bucket": self.slow_bucket, "spread": round(self.spread, 3)}

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> TypeBaseline:
        """The same from JSON."""
        streams = {name: Answers(*answers) for name, answers in stored["streams"].items()}
        return cls(streams, Answers(*stored["recent"]), stored["slow_bucket"], stored["spread"])


def baselines_of(slices: Iterable[Slice], at: datetime) -> dict[str, TypeBaseline]:
    """Of each task type, the most frequent first, from the slices before this time; those of Redis count."""
    by_type: dict[str, list[Slice]] = {}
    for one in slices:
        if one.backend == REDIS:
            by_type.setdefault(one.task_type, []).append(one)
    found = {task_type: _baseline_of(its, at) for task_type, its in by_type.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].streams["failed"].count, item[0])))


def _baseline_of(slices: list[Slice], at: datetime) -> TypeBaseline:
    counts = sum((one.counts for one in slices), Counts())
    recent = sum((one.counts for one in slices if one.at >= at - RECENT), Counts())
    bucket = counts.slow_bucket(TOLERANCE)
    streams = {
        "failed": Answers(counts.first, counts.failed),
        "retried": Answers(counts.over, counts.retried),
        "dead": Answers(counts.over, counts.dead),
        "slow": Answers(len(counts.run), counts.slower(bucket)),
    }
    per_minute = [Answers(one.counts.first, one.counts.failed) for one in slices]
    return TypeBaseline(streams, Answers(recent.first, recent.failed), bucket, spread_of(per_minute))


def spread_of(minutes: Iterable[Answers]) -> float:
    """How the share of yes differs between minutes: Pearson's chi-square by its degrees of freedom, at least 1."""
    counted = [one for one in minutes if one.count]
    count, yes = sum(one.count for one in counted), sum(one.yes for one in counted)
    if len(counted) < 2 or yes in (0, count):
        return 1.0
    share = yes / count
    squares = sum((one.yes - one.count * share) ** 2 / (one.count * share * (1 - share)) for one in counted)
    spread = squares / (len(counted) - 1)
    return spread if spread > LEAST_SPREAD else 1.0
