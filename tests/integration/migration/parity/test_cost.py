"""What is read does not depend on how much there is: 2,000 tenants, and tables much larger than any answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from gateway.migration.parity.evidence import SQL, Evidence
from gateway.migration.parity.gate import SQL as GATE_SQL
from gateway.migration.parity.parity import SQL as PARITY_SQL
from gateway.migration.parity.recorder import BATCH, SLICE_SECONDS, Recorder
from gateway.storage.database import Database

pytestmark = pytest.mark.system

RUNS = 100_000
NEW = 50


@pytest.fixture
async def crowd(database_url: str) -> None:
    """Runs of 2,000 tenants, all counted but the newest."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        """
        INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, backend, attempt, epoch,
                                       created_at)
        SELECT 'c' || n, 't' || n % 2000, 'g', 'probe', 'completed', 'redis', 1, 1,
               now() - make_interval(secs => n / 10.0)
        FROM generate_series(1, $1::int) AS n
        """,
        RUNS,
    )
    await connection.execute(
        """
        INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, started_at, ended_at, outcome,
                                      is_counted)
        SELECT task_id, 1, 1, 'redis', 'w', created_at, created_at, 'completed',
               row_number() OVER (ORDER BY created_at DESC) > $1
        FROM taskgate.dispatch
        """,
        NEW,
    )
    await connection.execute(
        """
        INSERT INTO taskgate.outcome (position, at, counted_at, task_id, attempt, tenant_id, task_type, backend, failed,
                                      retried, dead, worker_lost, run_seconds, wait_seconds, total_seconds)
        SELECT nextval('taskgate.outcome_position'), created_at, created_at, task_id, 1, tenant_id, task_type, backend,
               false, false, false, false, 1, 1, 2
        FROM (SELECT * FROM taskgate.dispatch ORDER BY created_at) AS in_order
        """
    )
    await connection.execute(
        """
        INSERT INTO taskgate.outcome_slice
        SELECT false, 't' || tenant, 'probe', 'redis', date_trunc('minute', now()) - make_interval(mins => minute * 20),
               1, 0, 1, 0, 1, 0, 0, 1, '{0,1}', '{0,1}', '{0,1}', '{}'
        FROM generate_series(0, 1999) AS tenant, generate_series(0, 59) AS minute
        """
    )
    for table in ("dispatch", "attempt", "outcome", "outcome_slice"):
        await connection.execute(f"VACUUM ANALYZE taskgate.{table}")
    await connection.close()


def visited(plan: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Relation, kind of scan and rows looked at, of each scan of a plan."""
    if "Relation Name" in plan and "Scan" in plan["Node Type"]:
        rows = (
            plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        )
        yield plan["Relation Name"], plan["Node Type"], rows * plan["Actual Loops"]
    for below in plan.get("Plans", []):
        yield from visited(below)


async def test_no_query_grows_with_the_tables(crowd: None, database: Database) -> None:
    (newest, at) = await Evidence(database).newest()
    day = timedelta(days=1)
    queries = {
        "is_any": (SQL.is_any, ()),
        "count": (SQL.count, (BATCH, SLICE_SECONDS)),
        "since": (SQL.since, (newest - 100, 1000)),
        "newest": (SQL.newest, ()),
        "slices": (SQL.slices, ("t7", at - day, at, False)),
        "newest_slices": (SQL.newest_slices, ("t7", at - 14 * day, at, 1440)),
        "slices_beside": (
            SQL.slices_beside,
            (["probe"] * 9, [at - n * day for n in range(9)], 600.0, "redis", at - day),
        ),
        "state": (PARITY_SQL.state, ()),
        "before": (GATE_SQL.before, ("t7", "probe", "redis", at, 200)),
    }
    large = {"dispatch", "attempt", "outcome", "outcome_slice"}
    for name, (query, arguments) in queries.items():
        async with database.acquire() as connection:
            text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *arguments)
        for relation, scan, rows in visited(json.loads(text)[0]["Plan"]):
            if relation in large:
                assert scan != "Seq Scan", (name, relation)
                assert rows <= 500, (name, relation, scan, rows)


async def test_counting_is_as_fast_as_what_ended(crowd: None, database: Database) -> None:
    assert await Recorder(database).tick() == NEW
    assert await Recorder(database).tick() == 0
