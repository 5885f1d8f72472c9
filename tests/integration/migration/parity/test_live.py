"""A gateway that leads counts what ended."""

from __future__ import annotations

import statistics
import time
from typing import Any

from gateway.migration.parity.evidence import Evidence
from gateway.storage.database import Database
from workers.testing.waiting import eventually

END = """
    WITH task AS (
        INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, backend, attempt, epoch)
        VALUES ($1, 'acme', 'g', 'probe', 'completed', 'redis', 1, 1)
    )
    INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, ended_at, outcome)
    VALUES ($1, 1, 1, 'redis', 'w', now(), 'completed')
"""


async def test_an_end_is_visible_within_a_second_of_its_commit(
    serving: Any, database_url: str, redis_server: str, database: Database, evidence: Evidence
) -> None:
    """The median; a machine that is busy may hold up one."""
    waits, cursor = [], 0
    async with serving(database_url, redis_server):
        for number in range(8):
            await database.execute(END, f"t{number}")
            committed = time.monotonic()
            page = await eventually(lambda cursor=cursor: evidence.since(cursor), lambda found: found.outcomes)
            cursor = page.cursor
            if number:  # the first waits for the election
                waits.append(time.monotonic() - committed)
    assert statistics.median(waits) <= 1.0
