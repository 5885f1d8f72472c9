"""What a tenant's tasks did on Redis before it was moved: what those on Temporal are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from gateway.migration.parity.eprocess import EProcess, Rate, Stream
from gateway.migration.parity.evidence import Counts, Slice
from gateway.migration.parity.histogram import BUCKETS, Histogram, bucket_of
from gateway.routing.stages import REDIS

#: So long before the move the baseline begins, and so long before it what is called recent.
WINDOW: Final = timedelta(hours=24)
RECENT: Final = timedelta(minutes=15)
#: A completed run is slow beyond the baseline's 90th percentile times this.
TOLERANCE: Final = 1.5
#: With a smaller spread, outcomes of one minute are as independent as those of others.
LEAST_SPREAD: Final = 1.5


class Run(NamedTuple):
    """What one outcome says (`parity.evidence.Outcome`); a question that it does not answer is None."""

    task_type: str
    failed: bool | None = None
    retried: bool | None = None
    dead: bool | None = None
    run_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TypeBaseline:
    """Of one task type; `recent`: failures just before the move.

    `spread`: how much more the share of failures differs between minutes than chance explains (1: no more). A burst of
    failures is then not taken for as many independent ones.
    """

    rates: Mapping[Stream, Rate] = field(default_factory=dict)
    recent: Rate = field(default_factory=Rate)
    slow_bucket: int | None = None
    spread: float = 1.0
    _tests: dict[Stream, EProcess] = field(default_factory=dict, compare=False, repr=False)

    @property
    def failed(self) -> Rate:
        return self.rates.get(Stream.FAILED, Rate())

    def test(self, stream: Stream) -> EProcess:
        """What compares a stream with this baseline."""
        if stream not in self._tests:
            self._tests[stream] = EProcess(self.rates.get(stream, Rate()))
        return self._tests[stream]

    def answers(self, run: Run) -> Iterator[tuple[Stream, bool]]:
        """What a run says in each stream, as far as it says anything."""
        if run.failed is not None:
            yield Stream.FAILED, run.failed
        if run.retried is not None:
            yield Stream.RETRIED, run.retried
        if run.dead is not None:
            yield Stream.DEAD, run.dead
        if self.slow_bucket is not None and run.run_seconds is not None:
            yield Stream.SLOWER, bucket_of(run.run_seconds) > self.slow_bucket

    def stored(self) -> dict[str, Any]:
        """As JSON holds it."""
        rates = {stream.value: [rate.asked, rate.yes] for stream, rate in self.rates.items()}
        recent = [self.recent.asked, self.recent.yes]
        return {"rates": rates, "recent": recent, "slow_bucket": self.slow_bucket, "spread": round(self.spread, 3)}

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> TypeBaseline:
        """The same from JSON."""
        rates = {Stream(name): Rate(*rate) for name, rate in stored["rates"].items()}
        return cls(rates, Rate(*stored["recent"]), stored["slow_bucket"], stored["spread"])


def baselines_of(slices: Iterable[Slice], at: datetime) -> dict[str, TypeBaseline]:
    """Of each task type, from the slices before this time; those of Redis count."""
    by_type: dict[str, list[Slice]] = {}
    for one in slices:
        if one.backend == REDIS:
            by_type.setdefault(one.task_type, []).append(one)
    return {task_type: _baseline_of(its, at) for task_type, its in sorted(by_type.items())}


def _baseline_of(slices: list[Slice], at: datetime) -> TypeBaseline:
    # Not by adding their `Counts`: of all their histograms only one is needed.
    counts = [one.counts for one in slices]
    durations = [0] * BUCKETS
    for one in counts:
        for bucket, runs in enumerate(one.run.counts):
            durations[bucket] += runs
    run = Counts(run=Histogram(durations))
    slow = run.slow_bucket(TOLERANCE)
    over = sum(one.over for one in counts)
    per_minute = [Rate(one.first, one.failed) for one in counts]
    rates = {
        Stream.FAILED: Rate(sum(one.asked for one in per_minute), sum(one.yes for one in per_minute)),
        Stream.RETRIED: Rate(over, sum(one.retried for one in counts)),
        Stream.DEAD: Rate(over, sum(one.dead for one in counts)),
        Stream.SLOWER: Rate(len(run.run), run.slower(slow)),
    }
    recent = [one.counts for one in slices if one.at >= at - RECENT]
    just = Rate(sum(one.first for one in recent), sum(one.failed for one in recent))
    return TypeBaseline(rates, just, slow, spread_of(per_minute))


def spread_of(minutes: Iterable[Rate]) -> float:
    """How the share of yes differs between minutes: Pearson's chi-square by its degrees of freedom, at least 1."""
    counted = [(one.asked, one.yes) for one in minutes if one.asked]
    asked, yes = sum(one for one, _ in counted), sum(one for _, one in counted)
    if len(counted) < 2 or yes in (0, asked):
        return 1.0
    share = yes / asked
    squares = sum((its - count * share) ** 2 / (count * share * (1 - share)) for count, its in counted)
    spread = squares / (len(counted) - 1)
    return spread if spread > LEAST_SPREAD else 1.0
