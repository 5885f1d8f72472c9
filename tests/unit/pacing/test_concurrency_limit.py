"""A limit that follows how quickly answers come."""

from __future__ import annotations

import pytest

from gateway.pacing.concurrency_limit import ALONE_TOLERANCE, BASELINE_SECONDS, FIRST, LEAST, ConcurrencyLimit

TOLERANCE = 1.2
#: Two at a time: from the third on each waits for the others.
FULL_AT_TWO = {n: 0.01 * max(1.0, n / 2) for n in range(1, 65)}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settle(
    limit: ConcurrencyLimit, seconds_of: dict[int, float] | float, rounds: int = 400, tolerance: float = TOLERANCE
) -> int:
    """The limit after many answers that take so long, with as many under way as may be."""
    for _ in range(rounds):
        under_way = limit.current
        seconds = seconds_of if isinstance(seconds_of, float) else seconds_of.get(under_way, max(seconds_of.values()))
        limit.answered(seconds, under_way, tolerance)
    return limit.current


def test_a_server_that_is_never_slower_gets_all(clock: Clock) -> None:
    assert settle(ConcurrencyLimit(64, clock=clock), 0.01, rounds=4000) == 64


def test_no_more_go_than_a_full_server_takes_at_once(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    limit.answered(0.01, 1, TOLERANCE)
    assert 2 <= settle(limit, FULL_AT_TWO, rounds=4000) <= 5


def test_it_narrows_at_once_when_the_tolerance_does(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    limit.answered(0.01, 1, ALONE_TOLERANCE)
    assert 8 <= settle(limit, FULL_AT_TWO, rounds=4000, tolerance=ALONE_TOLERANCE) <= 11
    limit.narrow(TOLERANCE)
    assert 2 <= limit.current <= 5
    assert 2 <= settle(limit, FULL_AT_TWO) <= 5


def test_it_grows_only_when_it_is_used(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    for _ in range(100):
        limit.answered(0.01, 1, TOLERANCE)
    assert limit.current == FIRST


def test_one_goes_always(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    limit.answered(0.001, 1, TOLERANCE)
    assert settle(limit, 1.0) == 1
    assert ConcurrencyLimit(1, clock=clock).current == 1


def test_a_baseline_is_forgotten(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    settle(limit, 0.001)
    assert settle(limit, 0.1) == 1
    for _ in range(2):
        clock.now += BASELINE_SECONDS + 1
        settle(limit, 0.1)
    assert settle(limit, 0.1, rounds=4000) == 64


def test_a_refusal_leaves_half_of_it_and_one_at_least(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    settle(limit, 0.01, rounds=4000)
    limit.refused()
    assert limit.current == 32
    for _ in range(10):
        limit.refused()
    assert limit.current == 1
    assert limit.rest == 0


def test_a_server_that_is_slow_with_one_gets_a_rest_after_it(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    limit.answered(0.001, 1, TOLERANCE)
    assert limit.rest == 0
    settle(limit, 0.1)
    assert limit.rest == pytest.approx(0.1 * (1 / LEAST - 1))
    # A refusal does not make more of it than there was.
    limit.refused()
    assert limit.rest == pytest.approx(0.1 * (1 / LEAST - 1))
    for _ in range(2):
        clock.now += 2 * BASELINE_SECONDS
        settle(limit, 0.1, rounds=10)
    assert limit.rest == 0


def test_a_few_milliseconds_are_no_sign_of_a_slow_server(clock: Clock) -> None:
    limit = ConcurrencyLimit(64, clock=clock)
    limit.answered(0.001, 1, TOLERANCE)
    assert settle(limit, 0.004, rounds=4000) == 64
