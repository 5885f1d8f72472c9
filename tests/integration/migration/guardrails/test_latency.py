"""How soon a regression is acted upon, with two gateways and a leader that looks as often as in service."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from gateway.migration.guardrails.evaluator import LOOK_SECONDS
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage
from tests.performance.guardrail_simulation import percentile
from workers.testing.waiting import eventually

pytestmark = pytest.mark.system

log = logging.getLogger(__name__)

#: Tenants that become bad one after the other.
TENANTS = [f"t{number:02}" for number in range(20)]


async def test_a_rollback_is_decided_in_two_seconds_and_in_force_everywhere_in_one_more(
    rails: Any, new_routing: Any
) -> None:
    await rails.database.execute(
        "INSERT INTO tenants (id, name, owner_id) SELECT t, t, 'u' FROM unnest($1::text[]) AS t", TENANTS
    )
    others = await new_routing(rails.path)
    for tenant in TENANTS:
        await rails.ran_on_redis(1000, 10, tenant=tenant)
    await rails.put_all(Stage.LIVE, TENANTS)
    await others.until_stage(Stage.LIVE, RouteQuery(TENANTS[-1], "backup", plan=None))
    # They moved long ago: so many at once would freeze everything.
    leader = await rails.begin_term()
    await leader.tick()
    await rails.database.execute(
        "UPDATE taskgate.guardrail SET moved_at = now() - interval '2 h',"
        " version = nextval('taskgate.guardrail_version')"
    )

    async def lead() -> None:
        while True:
            await leader.tick()
            await asyncio.sleep(LOOK_SECONDS)

    leading = asyncio.create_task(lead())
    decided, spread = [], []
    try:
        for tenant in TENANTS:
            await rails.ended(10, 2, tenant=tenant)
            begun = time.monotonic()
            await eventually(
                lambda tenant=tenant: rails.database.fetchval(
                    "SELECT true FROM taskgate.route_override WHERE tenant_id = $1", tenant
                ),
                pause=0.005,
            )
            written = time.monotonic()
            decided.append(written - begun)
            query = RouteQuery(tenant, "backup", plan=None)
            for routing in (rails.routing, others):
                await routing.until_stage(Stage.OFF, query)
            spread.append(time.monotonic() - written)
    finally:
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
    log.info("decided within %.2f s, in force on two gateways %.3f s later", percentile(decided, 95), max(spread))
    assert percentile(decided, 95) <= 2.0
    assert max(spread) <= 1.0
