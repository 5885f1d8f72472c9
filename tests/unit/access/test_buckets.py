"""So many a minute of each name, filled evenly, in bounded memory."""

from __future__ import annotations

import pytest

from gateway.access import buckets
from gateway.access.buckets import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_a_minute() -> None:
    clock = Clock()
    spent = Buckets(clock=clock)
    assert [spent.take("k", 30) for _ in range(31)] == [0] * 30 + [2]
    assert (spent.wait("k", 30), spent.wait("other", 30)) == (2, 0)
    assert spent.take("other", 30) == 0
    clock.now += 2
    assert (spent.wait("k", 30), spent.take("k", 30), spent.take("k", 30)) == (0, 0, 2)
    clock.now += 3600  # no more than a full one
    assert [spent.take("k", 30) for _ in range(31)] == [0] * 30 + [2]


def test_a_limit_that_was_lowered_is_waited_for() -> None:
    spent = Buckets(clock=Clock())
    for _ in range(60):
        spent.take("k", 60)
    assert spent.wait("k", 6) == 550  # 55 too many, ten seconds each


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MOST_NAMES", 100)
    spent = Buckets(clock=Clock())
    for n in range(1000):
        assert spent.take(str(n), 1) == 0
    assert len(spent._spent) == 100
    assert (spent.take("0", 1), spent.take("999", 1)) == (0, 60)
