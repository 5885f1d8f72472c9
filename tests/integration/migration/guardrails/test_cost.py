"""What guardrails of 2,000 tenants cost each second, beside 200,000 outcomes that nobody needs any more."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.migration.guardrails.counting import BESIDE
from gateway.migration.guardrails.evaluator import LOOK_SECONDS
from gateway.migration.guardrails.store import SQL
from gateway.migration.parity.evidence import SQL as EVIDENCE
from gateway.migration.parity.evidence import Evidence
from gateway.migration.parity.parity import WINDOW
from gateway.routing.stages import Stage
from gateway.storage.database import Database

pytestmark = pytest.mark.system

log = logging.getLogger(__name__)

TENANTS = [f"t{number:04}" for number in range(2000)]
#: Twenty times as many as a statement may look at.
OUTCOMES, PAGE = 200_000, 20_000
TICKS = 20


async def crowd(rails: Any, outcomes: int) -> Any:
    """A leader of 2,000 tenants that have moved, each with a baseline and something that ended."""
    db = rails.database
    await db.execute(
        "INSERT INTO tenants (id, name, owner_id) SELECT t, t, 'u' FROM unnest($1::text[]) AS t",
        TENANTS,
    )
    for _ in range(outcomes // PAGE):
        await db.execute(
            "INSERT INTO taskgate.outcome (position, at, task_id, attempt, tenant_id, task_type, backend, failed,"
            " worker_lost, counted_at) SELECT nextval('taskgate.outcome_position'), now() - interval '2 h', 'o' || n,"
            " 1, 't' || lpad((n % 2000)::text, 4, '0'), 'backup', 'redis', false, false, now() - interval '2 h'"
            " FROM generate_series(1, $1::int) AS n",
            PAGE,
        )
    await db.execute("ANALYZE taskgate.outcome")
    for tenant in TENANTS:
        await rails.ran_on_redis(1000, 10, tenant=tenant)
    await rails.put_everybody(Stage.LIVE)
    leader = await rails.begin_term()
    await leader.tick()
    return leader


async def busy_second(rails: Any, tasks: int = 200) -> None:
    """So many tasks end, of as many tenants."""
    await rails.database.execute(
        "INSERT INTO taskgate.outcome (position, at, task_id, attempt, tenant_id, task_type, backend, failed, retried,"
        " dead, worker_lost, run_seconds) SELECT nextval('taskgate.outcome_position'), now(), 'x', 1, t, 'backup',"
        " 'temporal', random() < 0.01, false, false, false, 1 FROM unnest($1::text[]) AS t ORDER BY random() LIMIT $2",
        TENANTS,
        tasks,
    )


@pytest.mark.timeout(900)
async def test_two_thousand_tenants(rails: Any) -> None:
    leader = await crowd(rails, OUTCOMES)
    await busy_second(rails, len(TENANTS))  # their baselines are read when the first of their tasks has ended
    await leader.tick()
    costs = []
    for _ in range(TICKS):
        await busy_second(rails)
        begun = time.process_time()
        await leader.tick()
        costs.append(time.process_time() - begun)
    share = sum(costs) / TICKS / LOOK_SECONDS
    log.info("2,000 guardrails, 200 outcomes in a look: %.1f %% of a core", share * 100)
    assert share <= 0.05
    await no_statement_reads_a_whole_table(rails.database)


async def no_statement_reads_a_whole_table(db: Database) -> None:
    """Nor more of it than the tenants have news."""
    newest, at = await Evidence(db).newest()
    looks: list[tuple[str, tuple[Any, ...]]] = [
        (SQL.now, ()),
        (SQL.a_minute_ago, ()),
        (SQL.queue_ages, (TENANTS[:50],)),
        (SQL.counted, (TENANTS[:50], [newest - 10] * 50, newest)),
        (SQL.entry_times, ([1, 2],)),
        (SQL.events_after, (0, 100)),
        (EVIDENCE.since, (newest - 200, 1000)),
        (EVIDENCE.slices, (TENANTS[0], at - WINDOW, at, False)),
        (EVIDENCE.slices, ("", at - BESIDE, at + BESIDE, True)),
    ]
    async with db.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")  # what is empty here would be read as a whole
        for query, given in looks:
            plan = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT json) {query}", *given))
            assert list(whole(plan[0]["Plan"])) == [], query


def whole(node: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Scans of large tables that look at more than some rows of each tenant."""
    rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    is_large = node.get("Relation Name") in {"outcome", "outcome_slice", "dispatch", "attempt"}
    if is_large and (node["Node Type"] == "Seq Scan" or rows > 10_000):
        yield node["Relation Name"], node["Node Type"], rows
    for below in node.get("Plans", ()):
        yield from whole(below)
