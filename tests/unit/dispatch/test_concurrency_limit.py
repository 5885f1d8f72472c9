"""A window that follows how quickly answers come."""

from __future__ import annotations

import pytest

from gateway.dispatch.concurrency_limit import ALONE_SECONDS, FIRST, LEAST, MEMORY_SECONDS, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settle(pace: Pace, seconds_of: dict[int, float] | float, rounds: int = 400) -> int:
    """The window after many answers that take so long, with the window full."""
    for _ in range(rounds):
        under_way = pace.window
        seconds = seconds_of if isinstance(seconds_of, float) else seconds_of.get(under_way, max(seconds_of.values()))
        pace.note(seconds, under_way)
    return pace.window


def test_a_server_that_is_never_slower_gets_all(clock: Clock) -> None:
    assert settle(Pace(64, clock=clock), 0.01, rounds=4000) == 64


def test_no_more_go_than_a_full_server_takes_at_once(clock: Clock) -> None:
    pace = Pace(64, clock=clock)
    # Two at a time: from the third on each waits for the others.
    pace.note(0.01, 1)
    settle(pace, {n: 0.01 * max(1.0, n / 2) for n in range(1, 65)}, rounds=4000)
    assert 2 <= pace.window <= 5


def test_who_is_alone_has_more_until_others_come(clock: Clock) -> None:
    pace = Pace(64, clock=clock)
    pace.seen("acme")
    clock.now += ALONE_SECONDS
    pace.seen("acme")
    full_at_two = {n: 0.01 * max(1.0, n / 2) for n in range(1, 65)}
    pace.note(0.01, 1)
    alone = settle(pace, full_at_two, rounds=4000)
    assert 8 <= alone <= 11
    pace.seen("globex")
    assert 2 <= pace.window <= 5
    assert 2 <= settle(pace, full_at_two) <= 5


def test_who_comes_first_is_alone_at_once(clock: Clock) -> None:
    """A worker that was just started finds a crowd."""
    pace, other = Pace(64, clock=clock), Pace(64, clock=clock)
    full_at_two = {n: 0.01 * max(1.0, n / 2) for n in range(1, 65)}
    for one in (pace, other):
        one.note(0.01, 1)
        one.seen("acme")
    other.seen("globex")
    assert settle(pace, full_at_two, rounds=4000) >= 8
    assert settle(other, full_at_two, rounds=4000) <= 5


def test_it_grows_only_when_it_is_used(clock: Clock) -> None:
    pace = Pace(64, clock=clock)
    for _ in range(100):
        pace.note(0.01, 1)
    assert pace.window == FIRST


def test_one_goes_always(clock: Clock) -> None:
    pace = Pace(64, clock=clock)
    pace.note(0.001, 1)
    assert settle(pace, 1.0) == 1
    assert Pace(1, clock=clock).window == 1


def test_what_was_best_is_forgotten(clock: Clock) -> None:
    pace = Pace(64, clock=clock)
    settle(pace, 0.001)
    assert settle(pace, 0.1) == 1
    for _ in range(2):
        clock.now += MEMORY_SECONDS + 1
        settle(pace, 0.1)
    assert settle(pace, 0.1, rounds=4000) == 64


def test_a_server_that_is_slow_with_one_gets_a_rest_after_it(clock: Clock) -> None:
    pace = Pace(64, clock=clock)
    pace.note(0.001, 1)
    assert pace.rest == 0
    settle(pace, 0.1)
    assert pace.rest == pytest.approx(0.1 * (1 / LEAST - 1))
    clock.now += 2 * MEMORY_SECONDS
    settle(pace, 0.1, rounds=10)
    clock.now += 2 * MEMORY_SECONDS
    settle(pace, 0.1, rounds=10)
    assert pace.rest == 0
