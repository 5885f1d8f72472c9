"""What a tenant's tasks did on Redis before it was moved: what those on Temporal are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from gateway.migration.parity.eprocess import EProcess, Rate, Stream
from gateway.migration.parity.evidence import Counts, Slice
from gateway.migration.parity.histogram import BUCKETS, Histogram, bucket_of
from gateway.migration.parity.streams import NOTICEABLE, TOLERANCE, answers_of
from gateway.routing.stages import REDIS

#: So long before the move is what is called recent.
RECENT: Final = timedelta(minutes=15)
#: The spread is that between runs of so many answers; a smaller one than this is chance. Slow runs come together, when
#: a process starts or a server is busy: there a small spread counts, too. (While it did not, 4 of 30,000 moves to an
#: engine that does the same were taken back; their spreads were 1.3 to 2.1.)
SPREAD_OF: Final = 20
LEAST_SPREAD: Final = 2.5
LEAST_SPREAD_OF_SLOW: Final = 1.0


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

    `spreads`: of a stream, how much more the share of yes differs in the course of the day than chance explains; left
    out: no more. What comes in bursts, such as the slow first tasks of each process, is then not taken for as many
    independent answers.
    """

    rates: Mapping[Stream, Rate] = field(default_factory=dict)
    recent: Rate = field(default_factory=Rate)
    slow_bucket: int | None = None
    spreads: Mapping[Stream, float] = field(default_factory=dict)
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
        spreads = {stream.value: round(spread, 3) for stream, spread in self.spreads.items()}
        return {"rates": rates, "recent": recent, "slow_bucket": self.slow_bucket, "spreads": spreads}

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> TypeBaseline:
        """The same from JSON."""
        rates = {Stream(name): Rate(*rate) for name, rate in stored["rates"].items()}
        spreads = {Stream(name): spread for name, spread in stored["spreads"].items()}
        return cls(rates, Rate(*stored["recent"]), stored["slow_bucket"], spreads)


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
    slow = Counts(run=Histogram(durations)).slow_bucket(TOLERANCE, NOTICEABLE)
    answers = {stream: [answers_of(one, stream, slow) for one in counts] for stream in Stream}
    rates = {stream: Rate(*map(sum, zip(*its, strict=True))) for stream, its in answers.items()}
    recent = [one.counts for one in slices if one.at >= at - RECENT]
    just = Rate(sum(one.first for one in recent), sum(one.failed for one in recent))
    spreads = {stream: spread for stream, its in answers.items() if (spread := spread_of(its)) >= _least_spread(stream)}
    return TypeBaseline(rates, just, slow, spreads)


def _least_spread(stream: Stream) -> float:
    return LEAST_SPREAD_OF_SLOW if stream is Stream.SLOWER else LEAST_SPREAD


def spread_of(answers: Iterable[tuple[int, int]]) -> float:
    """How the share of yes differs between runs of answers: Pearson's chi-square by its degrees of freedom.

    `answers`: how many in each minute, and how many say yes, in order.
    """
    runs: list[tuple[int, int]] = []
    asked = yes = 0
    for more, of_these in answers:
        asked, yes = asked + more, yes + of_these
        if asked >= SPREAD_OF:
            runs.append((asked, yes))
            asked = yes = 0
    whole = Rate(sum(count for count, _ in runs), sum(its for _, its in runs))
    if len(runs) < 2 or whole.yes in (0, whole.asked):
        return 1.0
    share = whole.part
    return sum((its - n * share) ** 2 / (n * share * (1 - share)) for n, its in runs) / (len(runs) - 1)
