"""Tenants that move, on a virtual clock and through the code of the guardrails itself; nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from gateway.migration.guardrails.baseline import Run, TypeBaseline, baselines_of
from gateway.migration.guardrails.comparison_window import ComparisonWindow
from gateway.migration.guardrails.decision import World, decide
from gateway.migration.guardrails.guard import Guard, Phase
from gateway.migration.guardrails.moves import Place, cooled, moved
from gateway.migration.guardrails.policy import Policy
from gateway.migration.parity.eprocess import Rate
from gateway.migration.parity.evidence import Counts, Slice
from gateway.migration.parity.histogram import BUCKETS, Histogram
from gateway.routing.stages import REDIS, Stage

BEGIN = datetime(2026, 11, 28, tzinfo=UTC)
DAY = 1440
LIVE = Place(Stage.LIVE, 2, BEGIN)
#: The first tasks of a process that has just started: how many, how often they fail at least, how much slower they are.
COLD, COLD_FAIL, COLD_SLOWER = 4, 0.1, 4.0
#: While something that both engines depend on is bad, this part of the tasks fails.
BAD_FAIL = 0.3


@dataclass(frozen=True, slots=True)
class Work:
    """Tasks in order: the minute of each, whether its first run fails, whether it fails for good, how long it runs."""

    minute: np.ndarray
    failed: np.ndarray
    dead: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True, slots=True)
class Habits:
    """What the tasks of one type do, on whatever engine."""

    per_day: float
    fail: float
    phase: float = 0.0
    swing: float = 0.8
    bursts: float = 0.002
    """Part of the minutes in which a batch comes."""
    starts: int = 3
    """Processes that start in a day: each one's first tasks are cold."""
    median: float = 1.0
    swing_seconds: float = 0.3

    def work(self, random: np.random.Generator, minutes: np.ndarray, is_bad: np.ndarray, *, starts_now: bool) -> Work:
        """What comes in these minutes, some of which are bad for every engine."""
        day = np.sin(2 * np.pi * (minutes / DAY + self.phase))
        come = random.poisson(self.per_day / DAY * (1 + self.swing * day))
        come = come + np.where(random.random(len(minutes)) < self.bursts, random.integers(20, 100, len(minutes)), 0)
        minute = np.repeat(minutes, come)
        chance = np.repeat(np.where(is_bad, np.maximum(BAD_FAIL, self.fail), self.fail), come)
        slower = np.repeat(1 + self.swing_seconds * day, come)
        seconds = self.median * slower * random.lognormal(0.0, 0.4, len(minute))
        begins = list(random.integers(0, max(len(minute), 1), self.starts)) + [0] * starts_now
        for first in begins:
            chance[first : first + COLD] = np.maximum(chance[first : first + COLD], COLD_FAIL)
            seconds[first : first + COLD] *= COLD_SLOWER
        failed = random.random(len(minute)) < chance
        return Work(minute, failed, failed & (random.random(len(minute)) < 0.1), seconds)


def slices_of(task_type: str, work: Work) -> Iterator[Slice]:
    """As the evidence has them, by minute, on Redis."""
    buckets = np.minimum(4 * np.log2(np.maximum(work.seconds / 0.001, 1)), BUCKETS - 1).astype(int)
    minutes, number, counts = np.unique(work.minute, return_inverse=True, return_counts=True)
    width = int(buckets.max(initial=0)) + 1
    places = (number * width + buckets)[~work.dead]
    runs = np.bincount(places, minlength=len(minutes) * width).reshape(-1, width)
    failures, deaths = (np.bincount(number[which], minlength=len(minutes)) for which in (work.failed, work.dead))
    for minute, count, failed, dead, run in zip(
        *(column.tolist() for column in (minutes, counts, failures, deaths, runs)), strict=True
    ):
        at = BEGIN + timedelta(minutes=minute)
        sums = Counts(count, 0, count, failed, count, failed, dead, count, Histogram(run))
        yield Slice("t", task_type, REDIS, at, sums)


def runs_of(task_type: str, work: Work) -> Iterator[tuple[int, Run]]:
    """One after the other, with their minute."""
    for minute, failed, dead, seconds in zip(
        work.minute.tolist(), work.failed.tolist(), work.dead.tolist(), work.seconds.tolist(), strict=True
    ):
        yield minute, Run(task_type, failed, failed, dead, None if dead else seconds)


@dataclass
class Watched:
    """One tenant's guardrail, as the leader keeps it. `others`: what other tenants' tasks do on Redis in a minute."""

    baselines: Mapping[str, TypeBaseline]
    others: Callable[[datetime], Mapping[str, Rate]] = lambda _: {}
    guard: Guard = field(default_factory=lambda: Guard("t"))
    since: ComparisonWindow = field(default_factory=lambda: ComparisonWindow(0))
    rolled_back: list[datetime] = field(default_factory=list)
    evidence: Any = None

    def move_forward(self, at: datetime) -> None:
        self._take(moved(self.guard, LIVE, at, {})[0])

    def see(self, run: Run, at: datetime) -> bool:
        """Count one outcome and decide; whether it is rolled back."""
        self._take(cooled(self.guard, at, {})[0])
        self.since.add(run)
        assessment = self.since.judged()
        if assessment.regression is not None or self.since.aside:
            self.since, assessment = self.since.weighed(assessment, self.others(at), 0)
        elif self.since.is_full:
            self.since = self.since.anew(0)
        decision = decide(self.guard, Policy(), assessment, LIVE, World(at))
        self.guard = decision.guard
        if decision.rolls_back:
            self.rolled_back.append(at)
            self.evidence = decision.events[0].evidence
        return decision.rolls_back

    def _take(self, guard: Guard) -> None:
        if guard.phase is Phase.ARMED and self.guard.phase is not Phase.ARMED:
            self.since = ComparisonWindow(0, 1, self.baselines)
        self.guard = guard


def habits_of(random: np.random.Generator) -> list[Habits]:
    """Those of a tenant: one to three types; some fail often, some have bad minutes."""
    return [
        Habits(
            per_day=float(np.exp(random.uniform(np.log(60), np.log(3000)))),
            fail=float(random.choice([0.0, 0.001, 0.01, 0.03, 0.08])),
            phase=float(random.random()),
            median=float(np.exp(random.uniform(np.log(0.05), np.log(60)))),
        )
        for _ in range(int(random.integers(1, 4)))
    ]


def bad_minutes(random: np.random.Generator, minutes: np.ndarray, part: float) -> np.ndarray:
    """Which minutes are bad, five in a row."""
    return np.convolve(random.random(len(minutes)) < part / 5, np.ones(5), "full")[: len(minutes)] > 0


def unchanged(seed: int, *, most: int = 1500) -> Watched:
    """A tenant that moves to an engine which does exactly as the one before, until so many tasks or a day are over."""
    random = np.random.default_rng(seed)
    kinds = {f"type-{number}": habits for number, habits in enumerate(habits_of(random))}
    at_start = int(random.integers(0, DAY))  # it moves at any time of the day
    before, after = np.arange(-DAY, 0) + at_start, np.arange(0, DAY) + at_start
    part = float(random.choice([0.0, 0.0, 0.005]))
    was_bad, is_bad = bad_minutes(random, before, part), bad_minutes(random, after, part)
    slices: list[Slice] = []
    runs: list[tuple[int, Run]] = []
    for name, habits in kinds.items():
        slices += slices_of(name, habits.work(random, before, was_bad, starts_now=True))
        runs += runs_of(name, habits.work(random, after, is_bad, starts_now=True))

    def others(at: datetime) -> dict[str, Rate]:
        minute = (at - BEGIN) // timedelta(minutes=1) - at_start
        worst = BAD_FAIL if is_bad[max(minute - 4, 0) : minute + 1].any() else 0.01
        return {name: Rate(100, int(random.binomial(100, worst))) for name in kinds}

    watched = Watched(baselines_of(slices, BEGIN + timedelta(minutes=at_start)), others)
    watched.move_forward(BEGIN + timedelta(minutes=at_start))
    for minute, run in sorted(runs, key=lambda one: one[0])[:most]:
        if watched.see(run, BEGIN + timedelta(minutes=minute)):
            break
    return watched


def tasks_until_found(seed: int, failing: float, *, most: int = 500) -> int:
    """With a baseline of 1,000 tasks of which 1 % fail: after how many tasks that fail so often it is taken back."""
    random = np.random.default_rng(seed)
    minute = np.sort(random.integers(-DAY, 0, 1000))
    failed = np.isin(np.arange(1000), random.choice(1000, 10, replace=False))
    before = Work(minute, failed, failed & False, random.lognormal(0.0, 0.4, 1000))
    watched = Watched(baselines_of(slices_of("backup", before), BEGIN))
    watched.move_forward(BEGIN)
    for number in range(1, most + 1):
        fails = bool(random.random() < failing)
        run = Run("backup", fails, fails, False, float(random.lognormal(0.0, 0.4)))
        if watched.see(run, BEGIN + timedelta(seconds=number)):
            return number
    return most + 1


def oscillating(seed: int, *, period: timedelta, impatience: timedelta, hours: int = 12) -> Watched:
    """An engine that is bad every other period, and a person who moves the tenant forward again after each rollback."""
    random = np.random.default_rng(seed)
    work = Habits(3000, 0.01).work(random, np.arange(-DAY, 0), np.zeros(DAY, bool), starts_now=False)
    watched = Watched(baselines_of(slices_of("backup", work), BEGIN))
    watched.move_forward(BEGIN)
    forward: datetime | None = None
    for second in range(0, hours * 3600, 5):
        at = BEGIN + timedelta(seconds=second)
        if forward is not None and at >= forward:
            watched.move_forward(at)
            forward = None
        if not watched.guard.is_on_temporal:
            continue
        is_bad = int(timedelta(seconds=second) / period) % 2 == 1
        fails = bool(random.random() < (0.6 if is_bad else 0.01))
        if watched.see(Run("backup", fails, fails, False, 1.0), at):
            forward = at + impatience
    return watched


def percentile(values: Sequence[float], part: float) -> float:
    return float(np.percentile(values, part))
