"""The test that may be asked after each outcome: how often it errs, and how soon it sees."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count, islice
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.migration.parity.eprocess import (
    ALPHA,
    DOUBT,
    SHARES,
    SMALLEST_BASELINE,
    EProcess,
    Rate,
    Stream,
    share_of_count,
    threshold,
    upper_bound,
)

IsEnough = Callable[[Rate, float], bool]


@dataclass(slots=True)
class StreamWatch:
    """One stream, outcome by outcome. `highest` is what counts: evidence that was once enough stays enough."""

    test: EProcess
    seen: Rate = field(default_factory=Rate)
    log_e: float = 0.0
    highest: float = 0.0

    def add(self, yes: bool) -> float:
        """One more outcome. Returns the present `log_e`."""
        self.seen = Rate(self.seen.asked + 1, self.seen.yes + yes)
        self.log_e = self.test.log_e(self.seen)
        self.highest = max(self.highest, self.log_e)
        return self.log_e


def rates(smallest: int = 0) -> st.SearchStrategy[Rate]:
    return st.integers(smallest, 3000).flatmap(lambda asked: st.builds(Rate, st.just(asked), st.integers(0, asked)))


@given(rates(SMALLEST_BASELINE))
def test_a_first_yes_is_evidence_and_a_first_no_is_the_contrary(baseline: Rate) -> None:
    test = EProcess(baseline)
    assert test.log_e(Rate(1, 1)) > 0 > test.log_e(Rate(1, 0))


def test_a_small_baseline_proves_little_however_much_is_seen() -> None:
    """Of 30 tasks one failed: that may have been luck where one in four fails."""
    assert EProcess(Rate(30, 1)).log_e(Rate(4000, 1000)) < threshold(Stream.FAILED)
    assert EProcess(Rate(1000, 33)).log_e(Rate(400, 100)) > threshold(Stream.FAILED)


@given(rates())
def test_without_outcomes_there_is_no_evidence(baseline: Rate) -> None:
    assert EProcess(baseline).log_e(Rate()) == pytest.approx(0, abs=1e-9)


@given(rates(SMALLEST_BASELINE), st.integers(0, 400), st.integers(0, 400))
def test_what_is_foretold_is_a_distribution(baseline: Rate, asked: int, yes: int) -> None:
    """The expectation of e after one more outcome, by what the baseline foretells, is e: watching longer earns
    nothing."""
    seen = Rate(asked + yes, yes)
    test = EProcess(baseline)
    chance = (0.5 + baseline.yes + yes) / (1.5 + baseline.asked + seen.asked)
    after = [math.exp(test.log_e(seen + Rate(1, more)) - test.log_e(seen)) for more in (1, 0)]
    assert chance * after[0] + (1 - chance) * after[1] == pytest.approx(1, rel=1e-6)


@given(rates(), st.lists(st.booleans(), max_size=60))
def test_one_by_one_comes_to_the_same_as_all_at_once(baseline: Rate, answers: list[bool]) -> None:
    watch = StreamWatch(EProcess(baseline))
    along = [watch.add(yes) for yes in answers]
    assert watch.log_e == pytest.approx(EProcess(baseline).log_e(Rate(len(answers), sum(answers))))
    assert watch.highest == max([0.0, *along])


def test_a_small_baseline_judges_nothing() -> None:
    assert EProcess(Rate(SMALLEST_BASELINE - 1, 0)).log_e(Rate(100, 100)) == 0
    assert EProcess(Rate(SMALLEST_BASELINE, 0)).log_e(Rate(100, 100)) > 60


def test_the_parts_of_alpha_come_to_alpha() -> None:
    assert sum(math.exp(-threshold(stream, 3)) * 3 for stream in Stream) == pytest.approx(ALPHA)
    assert set(SHARES) == set(Stream)


@pytest.mark.parametrize(("yes", "asked"), [(1, 0), (-1, 3)])
def test_counts_that_cannot_be_are_refused(yes: int, asked: int) -> None:
    with pytest.raises(ValueError, match="cannot be yes"):
        Rate(asked, yes)


def _chance_of_alarm(baseline: Rate, rate: float, alpha: float, outcomes: int) -> float:
    """That e ever reaches 1 / alpha within so many outcomes: exact, by following all that may happen."""
    test, limit = EProcess(baseline), -math.log(alpha)
    chances, alarmed = {0: 1.0}, 0.0
    for asked in range(1, outcomes + 1):
        after: dict[int, float] = {}
        for yes, chance in chances.items():
            after[yes] = after.get(yes, 0.0) + chance * (1 - rate)
            after[yes + 1] = after.get(yes + 1, 0.0) + chance * rate
        alarms = [yes for yes in after if test.log_e(Rate(asked, yes)) >= limit]
        alarmed += sum(after.pop(yes) for yes in alarms)
        chances = {yes: chance for yes, chance in after.items() if chance > 1e-12}
    return alarmed


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("alpha", [1e-2, ALPHA])
def test_a_stream_like_its_baseline_seldom_alarms(rate: float, alpha: float) -> None:
    """Exact, over all baselines that such a rate brings forth and all that may come after."""
    asked = SMALLEST_BASELINE
    chance = sum(
        math.comb(asked, yes)
        * rate**yes
        * (1 - rate) ** (asked - yes)
        * _chance_of_alarm(Rate(asked, yes), rate, alpha, 80)
        for yes in range(asked + 1)
    )
    assert chance <= alpha


@pytest.mark.parametrize(("baseline", "rate"), [(100, 0.02), (300, 0.1), (1000, 0.01)])
def test_a_thousand_outcomes_like_the_baseline_seldom_alarm(baseline: int, rate: float) -> None:
    """Simulated, with a seed: alarms at alpha = 2 % in at most 2 % of the moves."""
    generator, moves, alpha = random.Random(20), 500, 0.02
    alarms = 0
    for _ in range(moves):
        watch = StreamWatch(EProcess(Rate(baseline, sum(generator.random() < rate for _ in range(baseline)))))
        for _ in range(1000):
            watch.add(generator.random() < rate)
        alarms += watch.highest >= -math.log(alpha)
    assert alarms <= alpha * moves


def test_the_counts_of_a_move_share_one_alpha() -> None:
    shares = list(islice(map(share_of_count, count()), 100_000))
    assert 0.99999 < sum(shares) <= 1
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("counts", [(80,), (20, 20, 20, 20)], ids=["once", "four times"])
def test_a_move_that_is_counted_anew_seldom_alarms(rate: float, counts: tuple[int, ...]) -> None:
    """Exact, for the promised `ALPHA`: a stream like its baseline, which stays the same for every count."""
    asked, chance = SMALLEST_BASELINE, 0.0
    for yes in range(asked + 1):
        baseline, quiet = Rate(asked, yes), 1.0
        for recounts, outcomes in enumerate(counts):
            quiet *= 1 - _chance_of_alarm(baseline, rate, ALPHA * share_of_count(recounts), outcomes)
        chance += math.comb(asked, yes) * rate**yes * (1 - rate) ** (asked - yes) * (1 - quiet)
    assert chance <= ALPHA


_known_bound = cache(upper_bound)
_known_log_e = cache(EProcess.log_e)
RATE = 0.2


def _errs(random_: random.Random, tests: list[EProcess], is_enough: IsEnough, *, is_shared: bool) -> tuple[bool, bool]:
    """A move to an engine that does the same, which somebody counts anew as soon as a count does not go their way.

    Whether it is ever called worse, and whether the true rate ever lies above the bound. `tests`: by how many of the
    baseline are yes.
    """
    test = tests[sum(random_.random() < RATE for _ in range(tests[0].baseline.asked))]
    seen, recounts, is_worse, is_above = Rate(), 0, False, False
    for _ in range(300):
        share = share_of_count(recounts) if is_shared else 1.0
        seen += Rate(1, random_.random() < RATE)
        log_e = _known_log_e(test, seen)
        is_worse |= log_e >= -math.log(DOUBT * share)
        is_above |= _known_bound(seen, doubt=DOUBT * share) < RATE
        if is_enough(seen, log_e):
            seen, recounts = Rate(), recounts + 1
    return is_worse, is_above


@pytest.mark.parametrize(
    ("wanted", "is_enough"),
    [(0, lambda seen, log_e: log_e < -0.5), (1, lambda seen, log_e: seen.yes > 0)],
    ids=["that it is worse", "that it is as good"],
)
def test_who_counts_anew_again_and_again_is_not_told_what_they_want_to_hear(wanted: int, is_enough: IsEnough) -> None:
    """Simulated, with a seed: both promises hold for all counts of a move together, here at 5 %.

    They would not, if each count had all of the 5 %.
    """
    generator, tests, moves = random.Random(36), [EProcess(Rate(200, yes)) for yes in range(201)], 1000
    told = {
        is_shared: sum(_errs(generator, tests, is_enough, is_shared=is_shared)[wanted] for _ in range(moves))
        for is_shared in (True, False)
    }
    assert told[True] <= DOUBT * moves < told[False]


@pytest.mark.parametrize(("rate", "median", "percentile_95"), [(0.5, 10, 20), (0.2, 35, 70)])
def test_it_sees_a_regression_soon(rate: float, median: int, percentile_95: int) -> None:
    generator, limit = random.Random(7), threshold(Stream.FAILED)
    needed = []
    for _ in range(3000):
        watch = StreamWatch(EProcess(Rate(1000, 10)))
        while watch.highest < limit:
            watch.add(generator.random() < rate)
        needed.append(watch.seen.asked)
    cuts = quantiles(needed, n=20)
    assert cuts[9] <= median
    assert cuts[18] <= percentile_95


def test_an_improvement_is_no_evidence() -> None:
    assert EProcess(Rate(1000, 300)).log_e(Rate(1000, 1)) < -50
