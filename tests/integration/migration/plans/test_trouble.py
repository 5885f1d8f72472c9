"""What is in the way of a plan: guardrails, people, errors. It stops by itself, and says why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.migration.stages.requests import ClearOverride, ImportFlags, SetOverride, SetRollout, SetStage
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage
from tests.integration.migration.plans.conftest import KEY, THREE
from workers.testing.waiting import until

World = Any
#: A plan that moves a part of everybody's tasks, then all of them.
SHARES = "name: spring\nwhy: w\nbake: 1h\nwaves: [{tasks_percent: 25}, {tasks_percent: 100}]\n"


async def test_a_tripped_guardrail_holds_it_until_the_mend_and_the_wave_bakes_anew(world: World) -> None:
    await world.write(THREE)
    await world.act("start")
    await world.until("baking")
    await world.trip("acme")
    held = await world.until("held")
    assert held["says"].startswith(
        "the guardrail took tenant acme back to off (rolled back from temporal: backup: 30 of 30 of the first runs fail"
    )
    assert "taskgate route override clear --tenant acme" in held["says"]
    assert "taskgate migration plan skip spring --tenant acme" in held["says"]
    await world.tick(5, minutes=60)
    assert (await world.plan())["state"] == "held"
    await world.mend("acme")
    again = await world.until("baking")
    assert again["says"] == "what held it is over; it goes on"
    await world.tick(2, minutes=20)
    assert await world.settings() == {"acme": "live"}
    await world.until("done", minutes=30)
    assert await world.flips() == dict.fromkeys(("acme", "globex", "initech", "umbrella"), 1)


async def test_a_persons_override_is_in_the_way_and_is_named(world: World) -> None:
    await world.stages.overrides.set("eve", SetOverride(tenant_id="acme", stage="off", why="audit", based_on=0))
    await world.write(THREE)
    await world.act("start")
    held = await world.until("held")
    assert held["says"].startswith("eve keeps tenant acme at off (audit): taskgate route override clear --tenant acme")
    await world.act("skip", tenant_id="acme")
    await world.until("done", minutes=60)
    assert sorted(await world.settings()) == ["globex", "initech", "umbrella"]


async def test_a_person_who_takes_a_tenant_back_in_the_flag_is_in_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.write(THREE)
    await world.act("start")
    await world.until("baking")
    await world.routing.until_stage(Stage.LIVE, RouteQuery("acme", "backup", plan=None))
    monkeypatch.setattr(world.runner._trouble, "_monotonic", lambda: world.idle)
    await world.tick(minutes=1)
    version, _ = await world.stages.document()
    await world.stages.set("eve", SetStage(tenant_id="acme", stage="off", why="w", based_on=version))
    await world.routing.until_stage(Stage.OFF, RouteQuery("acme", "backup", plan=None))
    await world.tick(minutes=1)
    assert (await world.plan())["state"] == "baking"
    await world.tick()
    held = await world.plan()
    assert (held["state"], held["says"]) == (
        "held",
        "the flag has tenant acme at off, where the plan put live: taskgate flags set --tenant acme --stage live"
        ' --why "…", or leave it out: taskgate migration plan skip spring --tenant acme --why "…"',
    )
    await world.act("skip", tenant_id="acme")
    assert (await world.until("baking"))["says"] == "what held it is over; it goes on"


async def test_an_error_of_one_plan_does_not_stop_those_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.write("name: autumn\nwhy: w\nbake: '0'\nwaves: [{tenants: [acme]}]\n")
    await world.write("name: spring\nwhy: w\nbake: '0'\nwaves: [{tenants: [globex]}]\n")
    await world.act("start", "autumn")
    await world.act("start")
    move = world.runner._mover.move

    async def broken(progress: Any, plan: Any) -> bool:
        if progress.name == "autumn":
            raise IndexError
        return bool(await move(progress, plan))

    monkeypatch.setattr(world.runner._mover, "move", broken)
    await world.until("done", minutes=1)
    assert await world.settings() == {"globex": "live"}


async def test_a_percentage_of_tasks_leaves_no_tenant_out(world: World) -> None:
    await world.write("name: spring\nwhy: w\nbake: 1h\nwaves: [{tasks_percent: 100}]\n")
    await world.act("start")
    await world.until("baking")
    await world.trip("acme")
    held = await world.until("held")
    assert held["says"].endswith('mend the cause, then taskgate route override clear --tenant acme --why "…"')


async def test_a_freeze_of_the_guardrails_is_in_the_way_and_says_how_it_ends(world: World) -> None:
    await world.write(THREE)
    await world.act("start")
    await world.until("baking")
    await world.database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')")
    held = await world.until("held")
    assert held["says"] == ('the guardrails are frozen: 9 of 20 (taskgate migration guardrails unfreeze --why "…")')


async def test_a_rollback_is_not_stopped_by_a_freeze_of_the_guardrails(world: World) -> None:
    for name, stage in (("before", "live"), ("spring", "rampdown")):
        await world.write(f"name: {name}\nwhy: w\nstage: {stage}\nbake: '0'\nwaves: [{{tenants: [acme]}}]\n")
        await world.act("start", name)
        await world.until("done", minutes=1, name=name)
    await world.database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('w')")
    await world.act("rollback")
    await world.until("aborted", minutes=1)
    assert await world.settings() == {"acme": "live"}


@pytest.mark.parametrize("text", [THREE, SHARES], ids=["tenants", "tasks"])
async def test_an_override_for_everybody_is_in_the_way(world: World, text: str) -> None:
    await world.write(text)
    await world.act("start")
    await world.until("baking")
    _, before = await world.stages.document()
    down = SetOverride(everything=True, stage="off", why="Temporal is down", based_on=0)
    version = (await world.stages.overrides.set("eve", down)).override.version
    await world.tick(3, minutes=60)
    held = await world.plan()
    assert (held["state"], held["wave"], held["says"]) == (
        "held",
        1,
        'eve keeps everybody at off (Temporal is down): taskgate route override clear --all --why "…"',
    )
    assert (await world.stages.document())[1] == before
    await world.stages.overrides.clear("eve", ClearOverride(everything=True, why="it is up", based_on=version))
    assert (await world.until("baking"))["says"] == "what held it is over; it goes on"
    await world.tick(2, minutes=20)
    assert ((await world.plan())["state"], (await world.stages.document())[1]) == ("baking", before)
    await world.until("done", minutes=30)


async def test_overrides_that_leave_the_plans_tenants_alone_are_not_in_the_way(world: World) -> None:
    for scope, stage in (
        ({"everything": True}, "off"),
        ({"task_type": "backup"}, "off"),
        ({"tenant_id": "acme", "task_type": "backup"}, "off"),
        ({"tenant_id": "acme"}, "live"),
    ):
        await world.stages.overrides.set("eve", SetOverride(**scope, stage=stage, why="w", based_on=0))
    await world.write("name: spring\nwhy: w\nbake: 1h\nwaves: [{tenants: [acme]}]\n")
    await world.act("start")
    await world.until("done", minutes=30)


@pytest.mark.parametrize("text", [THREE, SHARES], ids=["tenants", "tasks"])
async def test_a_flag_that_is_switched_off_is_in_the_way(world: World, text: str) -> None:
    await world.write(text)
    await world.act("start")
    await world.until("baking")
    await _switch(world, is_on=False)
    _, before = await world.stages.document()
    await world.tick(3, minutes=60)
    held = await world.plan()
    assert (held["state"], held["wave"]) == ("held", 1)
    assert held["says"].startswith(
        'the flag is switched off ("on": false), which keeps everybody at off: switch it on ("on": true)'
    )
    assert (await world.stages.document())[1] == before
    await _switch(world, is_on=True)
    assert (await world.until("baking"))["says"] == "what held it is over; it goes on"


async def test_a_default_that_a_person_sets_back_is_in_the_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.write(SHARES)
    await world.act("start")
    await world.until("baking")
    monkeypatch.setattr(world.runner._trouble, "_monotonic", lambda: world.idle)
    await until(lambda: _default(world).get("rollout"))
    await world.tick(minutes=1)
    version, _ = await world.stages.document()
    await world.stages.set("eve", SetStage(everything=True, stage="off", why="w", based_on=version))
    await until(lambda: "rollout" not in _default(world))
    await world.tick(minutes=1)
    assert (await world.plan())["state"] == "baking"
    await world.tick(3, minutes=60)
    held = await world.plan()
    assert (held["state"], held["wave"], held["says"]) == (
        "held",
        1,
        "the default of the flag is off, where the plan put 25 % of tasks at live: taskgate flags rollout --stage live"
        ' --percent 25 --by-task --why "…", or taskgate migration plan abort spring --why "…"',
    )
    version, _ = await world.stages.document()
    again = SetRollout(stage="live", percent=25, unit="task", why="w", based_on=version)
    await world.stages.roll_out("eve", again)
    await until(lambda: _default(world).get("rollout"))
    assert (await world.until("baking"))["says"] == "what held it is over; it goes on"
    await world.tick(2, minutes=20)
    assert (await world.stages.view())["default"] == "off 75 %, live 25 % by task"


async def test_a_wave_does_not_move_a_default_that_a_person_has_just_set_back(world: World) -> None:
    await world.write(SHARES)
    await world.act("start")
    await world.until("baking")
    version, _ = await world.stages.document()
    await world.stages.set("eve", SetStage(everything=True, stage="off", why="w", based_on=version))
    world.now += timedelta(minutes=61)
    await world.tick(2)
    held = await world.plan()
    assert (held["state"], held["wave"]) == ("held", 2)
    assert held["says"].startswith("the default of the flag is off, where the plan put 25 % of tasks at live")
    assert (await world.stages.view())["default"] == "off"


async def _switch(world: World, *, is_on: bool) -> None:
    """A person switches the flag on or off."""
    version, document = await world.stages.document()
    document["flags"][KEY]["on"] = is_on
    await world.stages.load("eve", ImportFlags(document=document, why="w", based_on=version))
    await until(lambda: world.routing.flags.document()["on"] is is_on)


def _default(world: World) -> dict[str, Any]:
    """The flag's default, as it is in force here."""
    return (world.routing.flags.document() or {}).get("fallthrough") or {}
