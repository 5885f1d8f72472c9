"""When an engine that refused is asked again."""

from __future__ import annotations

import pytest

from gateway.dispatch.circuit_breaker import FIRST_PAUSE, LONGEST_PAUSE, CircuitBreaker


@pytest.fixture
def health() -> CircuitBreaker:
    return CircuitBreaker("redis", lambda: 0.0)


def pauses(health: CircuitBreaker, count: int) -> list[float]:
    return [health.next_pause() for _ in range(count)]


def within_a_quarter(seconds: float, of: float) -> bool:
    return 0.75 * of <= seconds <= 1.25 * of


def test_pauses_grow_to_the_longest(health: CircuitBreaker) -> None:
    assert health.failed()
    expected = [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert all(within_a_quarter(*pair) for pair in zip(pauses(health, 5), expected, strict=True))


def test_gateways_do_not_ask_together(health: CircuitBreaker) -> None:
    many = [CircuitBreaker("redis") for _ in range(20)]
    assert len({one.next_pause() for one in many}) == 20


def test_starts_that_fail_together_count_once(health: CircuitBreaker) -> None:
    assert [health.failed() for _ in range(64)] == [True] + 63 * [False]
    assert within_a_quarter(health.next_pause(), FIRST_PAUSE)


def test_an_answered_probe_lets_starts_go_and_keeps_the_pause(health: CircuitBreaker) -> None:
    """An engine may answer probes and have no room for starts."""
    for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE):
        health.failed()
        assert within_a_quarter(health.next_pause(), pause)
        health.probe_answered()
        assert not health.is_down
    health.worked()
    health.failed()
    assert within_a_quarter(health.next_pause(), FIRST_PAUSE)


def test_a_start_that_was_under_way_does_not_bring_it_back(health: CircuitBreaker) -> None:
    health.failed()
    health.worked()
    assert health.is_down
