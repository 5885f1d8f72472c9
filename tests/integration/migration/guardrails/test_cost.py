"""What guardrails of 2,000 tenants cost each second, beside outcomes that nobody needs any more."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest

from gateway.migration.guardrails.evaluator import LOOK_SECONDS
from gateway.migration.guardrails.store import SQL
from gateway.routing.stages import Stage

log = logging.getLogger(__name__)

TENANTS = [f"t{number:04}" for number in range(2000)]
OUTCOMES, PAGE = 100_000, 10_000
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


async def busy_second(rails: Any) -> None:
    """200 tasks end, of as many tenants."""
    await rails.database.execute(
        "INSERT INTO taskgate.outcome (position, at, task_id, attempt, tenant_id, task_type, backend, failed, retried,"
        " dead, worker_lost, run_seconds) SELECT nextval('taskgate.outcome_position'), now(), 'x', 1, t, 'backup',"
        " 'temporal', random() < 0.01, false, false, false, 1 FROM unnest($1::text[]) AS t ORDER BY random() LIMIT 200",
        TENANTS,
    )


@pytest.mark.timeout(900)
async def test_two_thousand_tenants(rails: Any) -> None:
    leader = await crowd(rails, OUTCOMES)
    for _ in range(TICKS):  # their baselines are read when the first of their tasks has ended
        await busy_second(rails)
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


async def test_no_statement_of_a_look_reads_a_whole_table(rails: Any) -> None:
    await crowd(rails, OUTCOMES)
    db = rails.database
    newest = await db.fetchval("SELECT max(position) FROM taskgate.outcome")
    arguments: dict[str, tuple[Any, ...]] = {
        "now": (),
        "a_minute_ago": (),
        "queue_ages": (TENANTS[:50],),
        "counted": (TENANTS[:50], [newest - 10] * 50, newest),
        "entry_times": ([1, 2],),
        "events_after": (0, 100),
    }
    for name, given in arguments.items():
        plan = json.loads(await db.fetchval(f"EXPLAIN (FORMAT json) {getattr(SQL, name)}", *given))
        found = sorted(scanned(plan[0]["Plan"]))
        assert found == [], f"{name} reads {found} as a whole"


def scanned(node: dict[str, Any]) -> set[str]:
    """Large tables that this plan reads from end to end."""
    own = {node["Relation Name"]} if node["Node Type"] == "Seq Scan" else set()
    return own.intersection({"outcome", "dispatch", "attempt"}).union(*map(scanned, node.get("Plans", ())))
