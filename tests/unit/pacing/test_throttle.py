"""A look that takes long has a tenth of the time; a short one is taken whenever it is wanted."""

from __future__ import annotations

import pytest

from gateway.pacing.throttle import LOOKS, REST, SHORT, Throttle

LONGEST = 2.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def took(throttle: Throttle, clock: Clock, seconds: float) -> None:
    with throttle.look():
        clock.now += seconds


def fails(throttle: Throttle, clock: Clock) -> None:
    with throttle.look():
        clock.now += 1
        raise TimeoutError


def test_a_long_look_is_followed_by_a_rest() -> None:
    clock = Clock()
    throttle = Throttle(longest=LONGEST, clock=clock)
    assert throttle.rest == 0
    took(throttle, clock, 0.2)
    assert throttle.rest == pytest.approx(0.2 * REST)
    clock.now += 0.2 * REST - 0.1
    assert throttle.rest == pytest.approx(0.1)
    clock.now += 0.2
    assert throttle.rest == 0


def test_a_short_one_is_not() -> None:
    clock = Clock()
    throttle = Throttle(longest=LONGEST, clock=clock)
    took(throttle, clock, 0.2)
    took(throttle, clock, SHORT / 2)
    assert throttle.rest == 0


def test_one_that_a_busy_machine_made_long_is_not_either() -> None:
    clock = Clock()
    throttle = Throttle(longest=LONGEST, clock=clock)
    for seconds in (SHORT / 2, 3.0, 3.0):
        took(throttle, clock, seconds)
    assert throttle.rest == 0


def test_many_in_a_row_are() -> None:
    clock = Clock()
    throttle = Throttle(longest=LONGEST, clock=clock)
    took(throttle, clock, SHORT / 2)
    for _ in range(LOOKS):
        assert throttle.rest == 0
        took(throttle, clock, 0.1)
    assert throttle.rest == pytest.approx(0.1 * REST)


def test_no_rest_is_longer_than_what_is_found_may_wait() -> None:
    clock = Clock()
    throttle = Throttle(longest=LONGEST, clock=clock)
    took(throttle, clock, 10)
    assert throttle.rest == pytest.approx(LONGEST)


def test_one_that_fails_is_taken_again_at_once() -> None:
    """PostgreSQL did not answer for ten seconds: it is back, and what was left meanwhile is due."""
    clock = Clock()
    throttle = Throttle(longest=LONGEST, clock=clock)
    with pytest.raises(TimeoutError):
        fails(throttle, clock)
    assert throttle.rest == 0


@pytest.mark.parametrize(("seconds", "rest"), [(0.3, LONGEST), (8.0, 8.0)])
def test_one_that_was_cut_off_rests(seconds: float, rest: float) -> None:
    """Whatever those before it took. It has half of the time at most, and leaves the other half to others."""
    clock = Clock()
    throttle = Throttle(longest=LONGEST, clock=clock)
    for _ in range(LOOKS):
        took(throttle, clock, SHORT / 2)

    def is_cut_off() -> None:
        with throttle.look():
            clock.now += seconds
            raise TimeoutError

    with pytest.raises(TimeoutError):
        is_cut_off()
    throttle.give_up()
    assert throttle.rest == pytest.approx(rest)
    clock.now += rest
    assert throttle.rest == 0
