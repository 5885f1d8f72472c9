"""The short form of `make bench ONLY=guardrails`: tenants that move, on a virtual clock, through the code itself."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from gateway.migration.guardrails.guard import COOLDOWNS, Phase
from tests.performance.guardrail_simulation import oscillating, percentile, tasks_until_found, unchanged

pytestmark = pytest.mark.system

MOVES = 100
TRIALS = 100


def test_an_engine_that_does_the_same_is_never_left() -> None:
    """With bursts, cold starts, diurnal load and minutes that are bad everywhere."""
    moves = {seed: unchanged(seed, most=200) for seed in range(MOVES)}
    assert {seed: one.evidence for seed, one in moves.items() if one.rolled_back} == {}
    assert sum(one.since.tally.outcomes for one in moves.values()) > MOVES * 20


@pytest.mark.parametrize(("failing", "median", "late"), [(0.5, 10, 20), (0.2, 35, 75)])
def test_a_bad_engine_is_found_within_so_many_tasks(failing: float, median: int, late: int) -> None:
    """The bounds of the long form are 20 and 70; 100 trials know the 95th percentile within some tasks."""
    found = [tasks_until_found(seed, failing) for seed in range(TRIALS)]
    assert percentile(found, 50) <= median
    assert percentile(found, 95) <= late


@pytest.mark.parametrize("minutes", [2, 20])
def test_an_oscillating_engine_is_left_once_in_a_cooldown(minutes: int) -> None:
    watched = oscillating(1, period=timedelta(minutes=minutes), impatience=timedelta(minutes=1), hours=6)
    times = watched.rolled_back
    assert len(times) == 3
    assert all(later - before >= pause for (before, later), pause in zip(pairwise(times), COOLDOWNS, strict=False))
    assert watched.guard.phase is Phase.LOCKED


@pytest.mark.parametrize("seed", [2341, 3667, 17470, 23421])
def test_slow_first_runs_that_come_together_are_no_regression(seed: int) -> None:
    """The spread of their baselines is small (1.3 to 2.1), and counts."""
    assert not unchanged(seed, most=400).rolled_back


def test_a_cold_start_and_some_chance_are_no_regression() -> None:
    """Three of the first four tasks fail, and four of the next 25, on an engine that does the same."""
    assert not unchanged(19215, most=400).rolled_back
