"""Tasks last as long as faults, and are spread over them."""

from __future__ import annotations

import asyncio
import sys
import time
from math import inf
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pace import MOST_OPEN, Pace


async def test_no_fault_strikes_when_all_is_sent_and_each_has_its_share() -> None:
    sent: list[int] = []
    pace = Pace(300, 5, inf, lambda: len(sent), lambda: 0, half_seconds=0.05)
    seen: list[int] = []

    async def strike() -> None:
        while len(seen) < 5 and await pace.next_fault():
            seen.append(len(sent))
            await asyncio.sleep(0.1)
            pace.struck()

    striking = asyncio.create_task(strike())
    async for number in pace.tasks():
        sent.append(number)
    await striking
    assert sent == list(range(300))
    # At its beginning a fault finds at least the shares of all faults but the last one, at most those of all before it.
    assert all(60 * (number - 1) <= count <= 60 * number for number, count in enumerate(seen)), seen


async def test_nothing_is_sent_while_too_much_is_open_or_when_it_is_late() -> None:
    pace = Pace(10, 0, time.monotonic() + 0.2, lambda: 0, lambda: MOST_OPEN)
    assert [number async for number in pace.tasks()] == list(range(10))  # no faults, no pace
    pace = Pace(10, 1, time.monotonic() + 0.2, lambda: 0, lambda: MOST_OPEN)
    assert [number async for number in pace.tasks()] == []
    assert not await pace.next_fault()
