"""Cooldowns last as long as they say, whatever the database's clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.migration.guardrails.steady_clock import SteadyClock

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_jump_is_no_time(jump: timedelta) -> None:
    clock = SteadyClock()
    assert clock.read(NOON, 100.0) == NOON
    assert clock.read(NOON + jump + timedelta(seconds=1), 101.0) == NOON + timedelta(seconds=1)
    assert clock.read(NOON + jump + timedelta(seconds=3), 103.0) == NOON + timedelta(seconds=3)


def test_a_long_pause_of_the_process_is_time() -> None:
    clock = SteadyClock()
    clock.read(NOON, 100.0)
    assert clock.read(NOON + timedelta(minutes=5), 400.0) == NOON + timedelta(minutes=5)
