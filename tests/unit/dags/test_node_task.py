"""What the definition of a node says of its task."""

from __future__ import annotations

import pytest

from backends.port import RetryPolicy
from gateway.dags.definition import Retry
from gateway.dags.node_task import retry_of


@pytest.mark.parametrize(
    ("retry", "pauses"),
    [
        (Retry(), [1, 2]),
        (Retry(initial_seconds=3600), [3600, 3600]),
        (Retry(initial_seconds=20, maximum_seconds=30), [20, 30]),
    ],
)
def test_its_pauses(retry: Retry, pauses: list[float]) -> None:
    override = retry_of(retry)
    assert override is not None
    policy = override.over(RetryPolicy())
    assert [policy.delay_after(failures).total_seconds() for failures in (1, 2)] == pauses
