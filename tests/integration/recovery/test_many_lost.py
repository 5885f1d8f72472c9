"""Many processes are lost at once: a host is gone, or a large deployment has ended its workers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.recovery.reaper import Reaper
from gateway.storage.database import Database

QUEUED, LOST = 20_000, 50
FILL = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, state, backend, epoch)
SELECT 'queued' || n, 'g', 't', 'tenant' || n % 5, 'queued', 'redis', 1 FROM generate_series(1, $1::int) n
"""
PROCESSES = """
INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key, renewed_at)
SELECT $2 || n, $2, CASE $2 WHEN 'worker' THEN 'redis' END, 'h', n, '0', n, '-infinity'
FROM generate_series(1, $1::int) n
"""
STARTS = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, epoch, owner_id, due_at)
SELECT 'start' || n, 'g', 't', 'starting', 'redis', 1, 'gateway' || n, now() + interval '1 hour'
FROM generate_series(1, $1::int) n
"""
LEFT = "SELECT count(*) FROM taskgate.dispatch WHERE state = 'starting' AND (owner_id IS NOT NULL OR due_at > now())"
READ = """
SELECT (seq_tup_read + COALESCE(idx_tup_fetch, 0))::int FROM pg_stat_xact_user_tables
WHERE relid = 'taskgate.dispatch'::regclass
"""


@pytest.mark.parametrize(("kind", "most"), [("worker", 1_000), ("gateway", 2 * QUEUED)])
async def test_fifty_cost_no_more_than_one(database: Database, changes: Any, kind: str, most: int) -> None:
    """Open tasks are read once for all lost gateways, and not at all for workers, who own no starts."""
    await database.execute(FILL, QUEUED)
    await database.execute(PROCESSES, LOST, kind)
    await database.execute(STARTS, LOST)
    await database.execute("ANALYZE taskgate.dispatch")
    woken: list[bool] = []
    async with database.transaction() as db:
        connection: Any = db
        reaper = Reaper(
            connection, changes, limit=15, grace=1, losses=3, wake=lambda: woken.append(True), on_duty=lambda: None
        )
        before = await db.fetchval(READ)
        await reaper.tick()
        assert await db.fetchval(READ) - before < most
    assert await database.fetchval("SELECT count(*) FROM taskgate.process WHERE lost_at IS NULL") == 0
    releases = await database.fetchval("SELECT count(*) FROM taskgate.engine_duty WHERE kind = 'release'")
    assert releases == (LOST if kind == "worker" else 0)
    assert await database.fetchval(LEFT) == (LOST if kind == "worker" else 0)
    assert bool(woken) == (kind == "gateway")
