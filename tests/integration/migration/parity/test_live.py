"""A gateway that leads counts what ended."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.migration.parity.evidence import Evidence

RunTask = Callable[..., Awaitable[str]]


async def test_an_end_is_visible_within_a_second_of_its_commit(
    serving: Any, database_url: str, redis_server: str, run_task: RunTask, evidence: Evidence
) -> None:
    """The median; a machine that is busy may hold up one."""
    waits, cursor = [], 0
    async with serving(database_url, redis_server):
        for number in range(8):
            await run_task("completed")
            committed = time.monotonic()
            async with asyncio.timeout(20):
                while not (page := await evidence.since(cursor)).outcomes:
                    await asyncio.sleep(0.01)
            cursor = page.cursor
            if number:  # the first waits for the election
                waits.append(time.monotonic() - committed)
    assert statistics.median(waits) <= 1.0
