"""A look at what may move reads no more than it takes, of a crowd of which there are no statistics yet."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.migration.rampdown import rampdown
from gateway.storage.database import Database

CROWD = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, created_at, state, backend, stage, due_at)
SELECT 'plan-' || n, 'g', 't', 'many', now(), (ARRAY['queued', 'waiting'])[1 + n % 2], 'redis', 'off', now()
FROM generate_series(1, 10000) n
"""
LOGS = """
INSERT INTO task_logs (id, group_id, task_type, status, payload)
SELECT task_id, 'g', 't', 'PROCESSING', '{}' FROM taskgate.dispatch
"""

LOOKS = {
    "tenants": (rampdown.of_engine(rampdown.SQL.tenants, "redis"), "'redis'", {"dispatch_open"}),
    "page": (rampdown.of_engine(rampdown._PAGE, "redis"), "'redis', 'many', 0, now(), '', 100", {"dispatch_open"}),
    "tenants of Temporal": (rampdown.of_engine(rampdown.SQL.tenants, "temporal"), "'temporal'", {"dispatch_not_begun"}),
    "backlog": (rampdown.SQL.backlog, "'many', 100", {"dispatch_in_turn"}),
    "rewait": (rampdown._REWAIT, "ARRAY['plan-2', 'plan-4'], ARRAY[0, 0], 'redis', 'temporal'", {"dispatch_pkey"}),
    "recall": (rampdown._RECALL, "ARRAY['plan-2', 'plan-4'], ARRAY[0, 0], 'redis', 'temporal'", {"dispatch_pkey"}),
}


@pytest.mark.parametrize("plans", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", LOOKS)
async def test_a_look_reads_few_rows(database: Database, name: str, plans: str) -> None:
    query, values, indexes = LOOKS[name]
    async with database.transaction() as db:
        await db.execute(f"SET LOCAL plan_cache_mode = {plans}")
        await db.execute(CROWD)
        await db.execute(LOGS)
        await db.execute(f"PREPARE look AS {query}")
        rows: list[Any] = await db.fetch(f"EXPLAIN (ANALYZE) EXECUTE look({values})")
        await db.execute("DEALLOCATE look")
    plan = "\n".join(row[0] for row in rows)
    scans = re.findall(r"(?:using|Scan on) (dispatch\w*)", plan)
    assert indexes <= set(scans), plan
    assert not re.search(r"Seq Scan on (dispatch|task_logs|attempt)", plan), plan
    assert max(map(int, re.findall(r"Rows Removed by Filter: (\d+)", plan)), default=0) < 100, plan
