"""A look at due tasks reads no more than it takes, of a crowd that just came and of which there are no statistics."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.dispatch.open_starts import SQL
from gateway.storage.database import Database

CROWD = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, created_at, state, due_at)
SELECT 'plan-' || n, 'g', 't', 'many', now(), 'waiting', now() FROM generate_series(1, 10000) n
"""

LOOKS = {
    "take_waiting": ("4, ARRAY['redis']", {"dispatch_waiting"}),
    "take_repeats": ("4, ARRAY['redis']", {"dispatch_open"}),
    "next_tenants": ("'', 32, ARRAY['redis'], 4", {"dispatch_in_turn"}),
    "take_in_turn": ("4, ARRAY['redis'], ARRAY['many']", {"dispatch_in_turn", "dispatch_pkey"}),
    "due_now": ("'redis', 100, 5.0", {"dispatch_waiting", "dispatch_pkey"}),
    "next_due": ("ARRAY['redis'], ARRAY['redis']", {"dispatch_waiting", "dispatch_open"}),
}


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", LOOKS)
async def test_a_look_reads_few_rows(database: Database, name: str, plans: str) -> None:
    values, indexes = LOOKS[name]
    async with database.transaction() as db:
        await db.execute(f"SET LOCAL plan_cache_mode = {plans}")
        await db.execute(CROWD)
        await db.execute(f"PREPARE look AS {getattr(SQL, name)}")
        rows: list[Any] = await db.fetch(f"EXPLAIN (ANALYZE) EXECUTE look({values})")
        await db.execute("DEALLOCATE look")
    plan = "\n".join(row[0] for row in rows)
    scans = re.findall(r"(?:using|Scan on) (dispatch\w*)", plan)
    assert indexes <= set(scans), plan
    assert not re.search(r"Seq Scan on dispatch", plan), plan
    assert max(map(int, re.findall(r"Rows Removed by Filter: (\d+)", plan)), default=0) < 100, plan
