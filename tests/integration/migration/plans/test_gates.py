"""What a wave waits for: windows, approval, parity, drains."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.plans import trouble
from gateway.migration.plans.errors import PlanRefused
from gateway.migration.stages.requests import ClearOverride, SetOverride

World = Any


async def test_an_approval_is_waited_for_and_given_once(world: World) -> None:
    await world.write("name: spring\nwhy: w\nbake: '0'\ngates: {approval: true}\nwaves: [{tenants: [acme]}]\n")
    await world.act("start")
    held = await world.until("held")
    assert held["says"] == (
        'wave 1 waits for a person\'s approval: taskgate migration plan approve spring --wave 1 --why "…"'
    )
    assert (await world.act("approve", who="bob", wave=1))["approved_by"] == "bob"
    with pytest.raises(PlanRefused, match="wave 1 was approved by bob at 2026-11-28 12:00 UTC already; once is enough"):
        await world.act("approve", wave=1)
    await world.until("done", minutes=1)


async def test_windows_hold_moves_but_not_baking(world: World) -> None:
    await world.write(
        "name: spring\nwhy: w\nbake: 2h\nwindows: [{from: '22:00', to: '23:00'}]\n"
        "waves: [{tenants: [acme]}, {tenants: [globex]}]\n"
    )
    await world.act("start")
    held = await world.until("held")
    assert held["says"] == "wave 1: outside of its windows; nobody is moved before 2026-11-28 22:00 UTC"
    assert (await world.until("baking", minutes=60))["says"].startswith("wave 1: all are moved")
    held = await world.until("held", minutes=60)
    assert held["says"] == "wave 2: outside of its windows; nobody is moved before 2026-11-29 22:00 UTC"
    assert await world.settings() == {"acme": "live"}


async def test_parity_holds_without_data_and_says_what_is_needed(world: World) -> None:
    await world.write("name: spring\nwhy: w\nbake: '0'\ngates: {parity: {samples: 50}}\nwaves: [{tenants: [acme]}]\n")
    await world.act("start")
    held = await world.until("held")
    assert held["says"].startswith("parity: 0 % of 1 tenants pass, 100 % must: acme: no_data")


async def test_parity_passes_with_its_sample_size_and_a_regression_holds(world: World) -> None:
    await world.write(
        "name: spring\nwhy: w\nbake: '0'\ngates: {parity: {samples: 500, tenants_percent: 50}}\n"
        "waves: [{tenants: [acme, globex]}, {tenants: [initech]}]\n"
    )
    for tenant in ("acme", "globex", "initech"):
        await world.ran(tenant, "redis", 1000, 10, minutes_ago=60)
    await world.act("start")
    await world.until("held")
    await world.ran("acme", "temporal", 400, 4)
    await world.tick(2, minutes=1)
    assert (await world.plan())["says"] == (
        "parity: 0 % of 2 tenants pass, 50 % must: acme: 400 tasks of 500 have ended"
    )
    await world.database.execute("DELETE FROM taskgate.outcome_slice WHERE backend = 'temporal'")
    await world.ran("acme", "temporal", 500, 5)
    await world.ran("globex", "temporal", 10, 10)
    await world.tick(2, minutes=1)
    held = await world.plan()
    assert (held["wave"], held["state"]) == (1, "held")
    assert held["says"].startswith("globex does worse on temporal: backup: ")
    await world.act("skip", tenant_id="globex")
    await world.tick(3, minutes=1)
    assert (await world.plan())["wave"] == 2


async def _passed(world: World) -> list[str]:
    rows = await world.database.fetch("SELECT tenant_id FROM taskgate.plan_tenant WHERE has_passed ORDER BY 1")
    return [row["tenant_id"] for row in rows]


async def test_who_has_passed_shows_it_again_after_trouble_and_after_a_pause(world: World) -> None:
    await world.write(
        "name: spring\nwhy: w\nbake: '0'\ngates: {parity: {samples: 500}}\nwaves: [{tenants: [acme, globex]}]\n"
    )
    await world.ran("acme", "redis", 1000, 10, minutes_ago=60)
    await world.act("start")
    await world.until("held")
    await world.ran("acme", "temporal", 500, 5)
    await world.tick(2, minutes=1)
    assert await _passed(world) == ["acme"]
    await world.act("pause")
    resumed = await world.act("resume")
    assert (await _passed(world), resumed["moved_at"]) == ([], world.now)
    await world.tick(2, minutes=1)
    assert await _passed(world) == ["acme"]
    override = SetOverride(tenant_id="globex", stage="off", why="audit", based_on=0)
    await world.stages.overrides.set("eve", override)
    await world.tick(minutes=1)
    version = await world.database.fetchval("SELECT version FROM taskgate.route_override")
    await world.stages.overrides.clear("eve", ClearOverride(tenant_id="globex", why="done", based_on=version))
    await world.tick()
    assert (await world.plan())["says"] == "what held it is over; it goes on"
    assert await _passed(world) == []


async def test_a_drain_is_waited_for(world: World) -> None:
    await world.write("name: spring\nwhy: w\nbake: '0'\ngates: {drain: drained}\nwaves: [{tenants: [acme, globex]}]\n")
    world.drain.left["globex"] = 3
    await world.act("start")
    held = await world.until("held")
    assert held["says"] == "on redis there are still 3 tasks of globex, of 1 tenant in all"
    world.drain.left.clear()
    await world.until("done", minutes=1)


async def test_of_many_all_asked_may_have_passed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "_ASKED", 1)
    await world.write(
        "name: spring\nwhy: w\nbake: '0'\ngates: {parity: {samples: 500}}\nwaves: [{tenants: [acme, globex]}]\n"
    )
    for tenant in ("acme", "globex"):
        await world.ran(tenant, "redis", 1000, 10, minutes_ago=60)
    await world.act("start")
    await world.tick(2)
    for tenant in ("acme", "globex"):
        await world.ran(tenant, "temporal", 500, 5)
    held = await world.until("held", minutes=1)
    assert held["says"] == "parity: 50 % of 2 tenants pass, 100 % must: the others are asked next"
    await world.until("done", minutes=1)
