"""The retry policy of one task, over the gateway's: the same pauses as in PostgreSQL."""

from __future__ import annotations

import pytest

from backends.port import RetryPolicy
from gateway.submission.new_task import RetryOverride


@pytest.mark.parametrize(
    ("override", "pauses"),
    [
        (RetryOverride(), [1, 2]),
        (RetryOverride(initial=100, coefficient=3, maximum=250), [100, 250]),
        (RetryOverride(initial=3600), [3600, 3600]),
        (RetryOverride(initial=400), [400, 600]),
        (RetryOverride(maximum=0.5), [0.5, 0.5]),
    ],
)
def test_its_pauses(override: RetryOverride, pauses: list[float]) -> None:
    policy = override.over(RetryPolicy())
    assert [policy.delay_after(failures).total_seconds() for failures in (1, 2)] == pauses
