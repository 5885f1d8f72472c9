"""What the leader keeps in memory of what ended."""

from __future__ import annotations

from typing import Any

from gateway.migration.guardrails.counting import MINUTE, Counting
from gateway.migration.parity.evidence import Evidence


async def test_the_last_minute_is_all_that_is_kept(rails: Any) -> None:
    """Also while nobody has limits, and asks for it."""
    counting = Counting(Evidence(rails.database), monotonic=lambda: rails.clock[0])
    await counting.begin(rails.database, [])
    for _ in range(3):
        await rails.ended(failed=0, well=20, worker_lost=True)
        await counting.follow()
        rails.clock[0] += 0.75 * MINUTE
    assert len(counting._minute) == 40
    assert counting.in_a_minute() == {"acme": (0, 20)}
