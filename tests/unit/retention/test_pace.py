"""Deletion takes a small share of the time, and less at a time where others work."""

from __future__ import annotations

import pytest

from gateway.retention.pace import FIRST, GOAL, LEAST, MOST, REST, STEP, Pace


class Time:
    """Passes only when it is told to, and when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pace(time: Time) -> Pace:
    return Pace(clock=time.clock, sleep=time.sleep)


async def take(pace: Pace, time: Time, seconds: float) -> int:
    rows = pace.begin()
    time.now += seconds
    await pace.rest()
    return rows


async def test_it_rests_a_multiple_of_what_a_transaction_took(pace: Pace, time: Time) -> None:
    await take(pace, time, 0.01)
    await take(pace, time, 2.0)
    assert time.slept == pytest.approx([0.01 * REST, 2.0 * REST])


async def test_one_that_took_too_long_is_followed_by_one_of_half_as_many_rows(pace: Pace, time: Time) -> None:
    assert [await take(pace, time, GOAL * 1.1) for _ in range(5)] == [FIRST, FIRST // 2, FIRST // 4, LEAST, LEAST]


async def test_one_in_time_is_followed_by_one_of_a_few_more(pace: Pace, time: Time) -> None:
    assert [await take(pace, time, GOAL * 0.9) for _ in range(3)] == [FIRST, FIRST + STEP, FIRST + 2 * STEP]


async def test_none_has_more_than_the_most(pace: Pace, time: Time) -> None:
    assert max([await take(pace, time, 0) for _ in range(2 * MOST // STEP)]) == MOST


async def test_after_something_else_it_rests_as_long(pace: Pace, time: Time) -> None:
    pace.begin()
    time.now += 1.0
    await pace.pause()
    assert time.slept == pytest.approx([REST])
    assert pace.rows == FIRST
