"""A tenant of a plan is counted anew, after somebody has mended what made its tasks worse."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from gateway.migration.plans.errors import PlanRefused

World = Any

GATED = (
    "name: spring\nwhy: w\nbake: '0'\ngates: {parity: {samples: 100}}\n"
    "waves: [{name: pilot, tenants: [acme, globex]}, {tenants: [initech], gates: {}}]\n"
)
OTHER = "name: summer\nwhy: w\nstage: rampdown\nbake: '0'\ngates: {parity: {}}\nwaves: [{tenants: [globex]}]\n"


async def later(world: World, minutes: int) -> None:
    """As if all that there is had been so long ago."""
    for table, column in (("ledger", "at"), ("outcome_slice", "slice_at"), ("plan_tenant", "counts_from")):
        await world.database.execute(
            f"UPDATE taskgate.{table} SET {column} = {column} - make_interval(mins => $1)", minutes
        )


async def is_worse(world: World) -> dict[str, Any]:
    """The plan, held because globex does worse, while acme has passed."""
    await world.write(GATED)
    for tenant in ("acme", "globex"):
        await world.ran(tenant, "redis", 1000, 10, minutes_ago=60)
    await world.act("start")
    await world.until("held")
    await world.ran("acme", "temporal", 500, 5)
    await world.ran("globex", "temporal", 100, 50)
    await world.tick(2, minutes=1)
    plan: dict[str, Any] = await world.plan()
    assert plan["says"].startswith("globex does worse on temporal: backup: 50 of 100 (50.0%) failed at their first run")
    return plan


async def says(world: World) -> str:
    await world.tick(2, minutes=1)
    return str((await world.plan())["says"])


async def test_only_what_ended_since_the_recount_is_compared_with_what_was_before_the_move(world: World) -> None:
    held = await is_worse(world)
    recount = 'taskgate migration plan recount spring --tenant globex --why "…"'
    assert held["says"].endswith(f"; or mend the cause, then {recount}")
    assert held["recounts"] == []
    plan = await world.act("recount", who="bob", tenant_id="globex")
    [one] = plan["recounts"]
    at = one["counts_from"]
    assert one == {
        "tenant_id": "globex",
        "wave": 1,
        "counts_from": at,
        "who": "bob",
        "why": "a test",
        "times": 1,
    }
    assert at > await world.database.fetchval("SELECT max(slice_at) FROM taskgate.outcome_slice")
    step = plan["steps"][0]
    assert (step["who"], step["why"], step["evidence"]) == (
        "bob",
        "recount: a test",
        {
            "act": "recount",
            "tenant_id": "globex",
            "counts_from": at.isoformat(),
            "recounts": 1,
            "state": "held",
            "wave": 1,
        },
    )
    assert await says(world) == (
        f"parity: 50 % of 2 tenants pass, 100 % must: globex (counted from {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC): "
        "no_data, backup: nothing has ended on temporal yet; send a task, or wait"
    )
    await later(world, 7)
    await world.ran("globex", "temporal", 150, 0, minutes_ago=3)
    assert "inconclusive, backup: nothing is worse on temporal so far; about " in await says(world)
    await world.ran("globex", "temporal", 400, 4, minutes_ago=1)
    await world.tick(2, minutes=1)
    assert (await world.plan())["wave"] == 2
    await world.until("done", minutes=1)
    assert (await world.plan())["recounts"][0]["times"] == 1, "it can still be read who let it through"


async def test_who_is_still_worse_is_called_so_again(world: World) -> None:
    await is_worse(world)
    await world.act("recount", tenant_id="globex")
    await later(world, 7)
    await world.ran("globex", "temporal", 60, 30, minutes_ago=3)
    said = await says(world)
    assert said.startswith("globex does worse on temporal (counted from ")
    assert "backup: 30 of 60 (50.0%) failed at their first run" in said


async def test_a_move_after_the_recount_is_counted_since_it_was_made(world: World) -> None:
    """A guardrail took it back, and a person moved it again: what ended since the recount is of another move."""
    await is_worse(world)
    await world.act("recount", tenant_id="globex")
    await later(world, 30)
    await world.ran("globex", "temporal", 60, 30, minutes_ago=25)
    await world.ran("globex", "redis", 1000, 10, minutes_ago=15)
    last = "SELECT max(id) FROM taskgate.ledger WHERE scope = 'tenant:globex'"
    await world.database.execute(f"UPDATE taskgate.ledger SET at = now() - interval '10 minutes' WHERE id = ({last})")
    await world.ran("globex", "temporal", 130, 0, minutes_ago=5)
    await world.tick(2, minutes=1)
    assert (await world.plan())["wave"] == 2, "130 tasks are too few for a recount, and enough for a move"


async def test_recounts_are_numbered_over_all_plans_of_a_tenant(world: World) -> None:
    await is_worse(world)
    first = await world.act("recount", tenant_id="globex")
    second = await world.act("recount", tenant_id="globex")
    [was], [one] = first["recounts"], second["recounts"]
    assert (one["times"], one["counts_from"] > was["counts_from"]) == (2, True)
    await world.act("abort")
    await world.write(OTHER)
    await world.act("start", "summer")
    await world.until("held", name="summer")
    third = await world.act("recount", "summer", tenant_id="globex")
    assert [one["times"] for one in third["recounts"]] == [3]


async def test_a_guardrail_that_holds_goes_on_holding(world: World) -> None:
    await is_worse(world)
    await world.database.execute(
        "INSERT INTO taskgate.guardrail (tenant_id, phase, redis_stage, since, rollbacks, concerns) VALUES"
        """ ('globex', 'armed', 'off', '{}', 0, '{"regression": {"response": "hold", "why": "half of them fail"}}')"""
        " ON CONFLICT (tenant_id) DO UPDATE SET phase = excluded.phase, concerns = excluded.concerns"
    )
    await world.act("recount", tenant_id="globex")
    assert (await says(world)).startswith("the guardrail of tenant globex holds (half of them fail): mend that")


async def test_a_paused_plan_takes_a_recount_and_stays_paused(world: World) -> None:
    await is_worse(world)
    await world.act("pause")
    plan = await world.act("recount", tenant_id="globex")
    assert (plan["state"], plan["recounts"][0]["times"]) == ("paused", 1)


async def refused(world: World, tenant: str, why: str) -> None:
    with pytest.raises(PlanRefused) as caught:
        await world.act("recount", tenant_id=tenant)
    assert caught.value.message == why
    assert (await world.plan())["recounts"] == []


async def test_a_plan_that_is_not_under_way_counts_nobody_anew(world: World) -> None:
    await world.write(GATED)
    draft = (await world.plan())["says"]
    await refused(world, "acme", f"plan spring is draft and cannot be counted anew: {draft}")
    aborted = (await world.act("abort"))["says"]
    await refused(world, "acme", f"plan spring is aborted and cannot be counted anew: {aborted}")


async def test_whose_gate_does_not_wait_is_not_counted_anew(world: World) -> None:
    await is_worse(world)
    await refused(world, "hooli", "hooli is not in plan spring")
    await refused(world, "initech", "initech has not been moved yet: nothing of it is counted")
    await refused(world, "acme", "no gate waits for acme: it has passed")
    await world.act("skip", tenant_id="globex")
    await refused(world, "globex", "no gate waits for globex: it was skipped")
    await world.act("pause")
    await world.act("resume")
    await world.database.execute("UPDATE taskgate.plan_tenant SET state = 'left' WHERE tenant_id = 'acme'")
    await refused(world, "acme", "no gate waits for acme: the plan left it where it stood")
    await world.until("done", minutes=1)
    done = (await world.plan())["says"]
    await refused(world, "acme", f"plan spring is done and cannot be counted anew: {done}")


async def test_a_wave_that_is_over_or_asks_for_no_parity_counts_nobody_anew(world: World) -> None:
    await world.write(
        "name: spring\nwhy: w\nbake: 1h\ngates: {}\n"
        "waves: [{name: pilot, tenants: [acme], bake: '0'}, {tenants: [globex]}]\n"
    )
    await world.act("start")
    await world.tick(6)
    assert (await world.plan())["wave"] == 2
    await refused(world, "acme", "no gate waits for acme: wave 1 (pilot) is over")
    await refused(world, "globex", "no gate waits for globex: wave 2 asks for no parity")
