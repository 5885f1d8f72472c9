"""How soon a guardrail sees a bad engine, and how often it errs, computed: every course that tasks may take."""

from __future__ import annotations

import math
from itertools import count, islice

import pytest

from gateway.migration.guardrails.baseline import TypeBaseline
from gateway.migration.guardrails.comparison import BLOCK, FIRST, Tally, compare, share_of
from gateway.migration.parity.eprocess import ALPHA, SHARES, Rate, Stream, threshold

pytestmark = pytest.mark.system

#: 1,000 tasks of which ten failed, and were repeated.
BEFORE = TypeBaseline(
    {Stream.FAILED: Rate(1000, 10), Stream.RETRIED: Rate(1000, 10), Stream.DEAD: Rate(1000, 0)}, Rate(20, 0)
)
#: Courses that are less likely than this together are left out.
NOTHING = 1e-15


def is_seen(asked: int, yes: int, first_yes: int, types: int) -> bool:
    same = [asked, yes, first_yes]
    tally = Tally({"backup": {Stream.FAILED: same, Stream.RETRIED: same, Stream.DEAD: [asked, 0, 0]}})
    others = {f"other-{number}": TypeBaseline() for number in range(types - 1)}
    return compare({"backup": BEFORE, **others}, tally).regression is not None


def chances(failing: float, tasks: int, *, types: int = 1, cold: float | None = None) -> list[float]:
    """How likely it is that the engine was left after 0, 1, 2, … tasks. `cold`: how many of the first ones fail."""
    going, left = {(0, 0): 1.0}, [0.0]
    for asked in range(1, tasks + 1):
        is_first = asked <= FIRST
        fails = failing if cold is None or not is_first else cold
        after: dict[tuple[int, int], float] = {}
        for (yes, first_yes), chance in going.items():
            for more, part in ((0, 1 - fails), (1, fails)):
                course = yes + more, first_yes + more * is_first
                after[course] = after.get(course, 0.0) + chance * part
        seen = {course for course in after if is_seen(asked, *course, types)}
        left.append(left[-1] + sum(after[course] for course in seen))
        going = {course: chance for course, chance in after.items() if course not in seen and chance > NOTHING}
    return left


def first(left: list[float], part: float) -> int:
    return next(tasks for tasks, chance in enumerate(left) if chance >= part)


@pytest.mark.parametrize(("failing", "median", "late"), [(0.5, 10, 19), (0.2, 33, 69)])
def test_after_how_many_tasks_a_bad_engine_is_left(failing: float, median: int, late: int) -> None:
    """The figures of docs/parity.md. At most 10 and 20 are promised, and 35 and 70."""
    left = chances(failing, 70)
    assert (first(left, 0.5), first(left, 0.95)) == (median, late)


@pytest.mark.parametrize("types", [1, 3])
def test_an_engine_that_does_the_same_is_hardly_ever_left(types: int) -> None:
    """`failed` and `retried`, which say the same here, in the first block: within the part of alpha of `failed`."""
    chance = chances(0.01, BLOCK, types=types)[-1]
    assert 0 < chance <= ALPHA * SHARES[Stream.FAILED] * share_of(1) / types


@pytest.mark.parametrize(("cold", "at_most"), [(0.1, ALPHA), (0.5, 1e-4), (1.0, 1e-4)])
def test_first_tasks_that_fail_do_not_decide_alone(cold: float, at_most: float) -> None:
    """The engine is as good as the one before, but its processes have just started.

    Were they counted as all others, the chances were 3e-5, 0.7 % and 9 %.
    """
    assert 0 < chances(0.01, BLOCK, cold=cold)[-1] <= at_most


def test_streams_types_and_blocks_share_one_alpha() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    blocks = sum(map(share_of, islice(count(1), 100_000)))
    assert 0.9999 < blocks <= 1
    of_types = [math.exp(-threshold(stream, 5)) for stream in Stream]
    assert 5 * sum(of_types) == pytest.approx(ALPHA)
