"""A look that takes long has a tenth of the time; a short one is taken whenever it is wanted."""

from __future__ import annotations

import pytest

from gateway.dispatch.seldom import REST, SHORT, Seldom


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def took(seldom: Seldom, clock: Clock, seconds: float) -> None:
    with seldom.look():
        clock.now += seconds


def fails(seldom: Seldom, clock: Clock) -> None:
    with seldom.look():
        clock.now += 1
        raise TimeoutError


def test_a_long_look_is_followed_by_a_rest() -> None:
    clock = Clock()
    seldom = Seldom(clock=clock)
    assert seldom.rest == 0
    took(seldom, clock, 0.2)
    assert seldom.rest == pytest.approx(0.2 * REST)
    clock.now += 0.2 * REST - 0.1
    assert seldom.rest == pytest.approx(0.1)
    clock.now += 0.2
    assert seldom.rest == 0


def test_a_short_one_is_not() -> None:
    clock = Clock()
    seldom = Seldom(clock=clock)
    took(seldom, clock, 0.2)
    took(seldom, clock, SHORT / 2)
    assert seldom.rest == 0


def test_one_that_fails_counts() -> None:
    clock = Clock()
    seldom = Seldom(clock=clock)
    with pytest.raises(TimeoutError):
        fails(seldom, clock)
    assert seldom.rest == pytest.approx(REST)
