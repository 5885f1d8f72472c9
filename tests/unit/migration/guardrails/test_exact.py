"""How soon a guardrail sees a bad engine, and how often it errs, computed: every course that tasks may take."""

from __future__ import annotations

import math
from itertools import count, islice

import pytest

from gateway.migration.guardrails.baseline import TypeBaseline
from gateway.migration.guardrails.comparison import BLOCK, Tally, compare, share_of
from gateway.migration.parity.eprocess import ALPHA, SHARES, Rate, Stream, threshold

#: 1,000 tasks of which ten failed, and were repeated.
BEFORE = TypeBaseline(
    {Stream.FAILED: Rate(1000, 10), Stream.RETRIED: Rate(1000, 10), Stream.DEAD: Rate(1000, 0)}, Rate(20, 0)
)
#: Courses that are less likely than this together are left out.
NOTHING = 1e-15


def is_seen(asked: int, yes: int, types: int) -> bool:
    tally = Tally({"backup": {Stream.FAILED: [asked, yes], Stream.RETRIED: [asked, yes], Stream.DEAD: [asked, 0]}})
    others = {f"other-{number}": TypeBaseline() for number in range(types - 1)}
    return compare({"backup": BEFORE, **others}, tally).regression is not None


def chances(failing: float, tasks: int, *, types: int = 1) -> list[float]:
    """How likely it is that the engine was left after 0, 1, 2, … tasks."""
    going, left = {0: 1.0}, [0.0]
    for asked in range(1, tasks + 1):
        after: dict[int, float] = {}
        for yes, chance in going.items():
            after[yes] = after.get(yes, 0.0) + chance * (1 - failing)
            after[yes + 1] = after.get(yes + 1, 0.0) + chance * failing
        seen = {yes for yes in after if is_seen(asked, yes, types)}
        left.append(left[-1] + sum(after[yes] for yes in seen))
        going = {yes: chance for yes, chance in after.items() if yes not in seen and chance > NOTHING}
    return left


def first(left: list[float], part: float) -> int:
    return next(tasks for tasks, chance in enumerate(left) if chance >= part)


@pytest.mark.parametrize(("failing", "median", "late"), [(0.5, 9, 18), (0.2, 33, 69)])
def test_after_how_many_tasks_a_bad_engine_is_left(failing: float, median: int, late: int) -> None:
    """The figures of docs/parity.md. At most 10 and 20 are promised, and 35 and 70."""
    left = chances(failing, 70)
    assert (first(left, 0.5), first(left, 0.95)) == (median, late)


@pytest.mark.parametrize("types", [1, 3])
def test_an_engine_that_does_the_same_is_hardly_ever_left(types: int) -> None:
    """`failed` and `retried`, which say the same here, in the first block: within the part of alpha of `failed`."""
    chance = chances(0.01, BLOCK, types=types)[-1]
    assert 0 < chance <= ALPHA * SHARES[Stream.FAILED] * share_of(1) / types


def test_streams_types_and_blocks_share_one_alpha() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    blocks = sum(map(share_of, islice(count(1), 100_000)))
    assert 0.9999 < blocks <= 1
    of_types = [math.exp(-threshold(stream, 5)) for stream in Stream]
    assert 5 * sum(of_types) == pytest.approx(ALPHA)
